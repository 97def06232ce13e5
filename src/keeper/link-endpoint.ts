/** Where a link has each service. */
import type { Endpoint, Link, ServiceName } from "../contract/backend.ts";

/** @throws Error when the link was not asked for it. */
export function endpointOf(link: Link, service: ServiceName): Endpoint {
  const endpoint = link.endpoints[service];
  if (endpoint === undefined) throw new Error(`the link has no ${service}`);
  return endpoint;
}

/** The same of a link that is still being made; whoever made it hears of its failure. */
export function endpointIn(linking: Promise<Link>, service: ServiceName): Promise<Endpoint> {
  const endpoint = linking.then((link) => endpointOf(link, service));
  endpoint.catch(() => {});
  return endpoint;
}
