/**
 * Which routes a bottle has: the provider's, the manifest's and those of presets. For one host the provider's
 * wins, because a rule of the manifest there could open what the provider keeps shut *and* have the provider's
 * credential put on it. What the manifest knows about the network (`connect_to`, `allow_addresses`), and how
 * strictly it wants things looked into (`dlp`), is kept. A preset adds hosts, and nothing to a host that somebody
 * wrote a route for.
 */
import type { AuthScheme, Route } from "../contract/policy.ts";
import type { Provider, ProviderCredential } from "../contract/provider.ts";

export interface PlannedRoutes {
  readonly routes: readonly Route[];
  /** How the provider authenticates; absent when it needs nothing. */
  readonly chosen: ProviderCredential | undefined;
  readonly warnings: readonly string[];
}

export function planRoutes(
  manifest: readonly Route[],
  presets: readonly Route[],
  provider: Provider,
  availableEnv: (name: string) => boolean,
): PlannedRoutes {
  const chosen = chooseCredential(provider.credentials, availableEnv);
  const needed = provider.routes.filter(
    ({ host }) => isFor(chosen, host) || !provider.credentialHosts.includes(host),
  );
  const own = new Set(needed.map((route) => route.host));
  const warnings: string[] = [];
  const provided = needed.map((route) => {
    const other = manifest.find((each) => each.host === route.host);
    if (other !== undefined && saysMoreThanWhere(other)) {
      warnings.push(
        `the route for ${route.host} is the provider ${provider.name}'s: ` +
          "of the manifest's only connect_to, allow_addresses and dlp count",
      );
    }
    return withCredential(withPlace(route, other), provider, chosen);
  });
  const rest = manifest.filter((route) => !own.has(route.host));
  const written = new Set([...provided, ...rest].map((route) => route.host));
  for (const { host } of presets) {
    if (written.has(host)) warnings.push(`there is a route for ${host}: the presets add nothing to it`);
  }
  const preset = presets.filter((route) => !written.has(route.host));
  return { routes: [...provided, ...rest, ...preset], chosen, warnings };
}

/** The first that the operator has; when there is none the first at all, which is then missed by name. */
export function chooseCredential(
  credentials: readonly ProviderCredential[],
  availableEnv: (name: string) => boolean,
): ProviderCredential | undefined {
  return credentials.find((each) => availableEnv(each.tokenRef)) ?? credentials[0];
}

function isFor(credential: ProviderCredential | undefined, host: string): boolean {
  return credential?.hosts?.includes(host) ?? true;
}

function saysMoreThanWhere(route: Route): boolean {
  return route.matches.length > 0 || route.auth !== undefined || route.tls !== "terminate";
}

function withPlace(route: Route, manifest: Route | undefined): Route {
  if (manifest === undefined) return route;
  return {
    ...route,
    allowAddresses: [...new Set([...route.allowAddresses, ...manifest.allowAddresses])],
    ...(manifest.connectTo === undefined ? {} : { connectTo: manifest.connectTo }),
    ...(manifest.inspection === undefined ? {} : { inspection: manifest.inspection }),
  };
}

/** Every header by which the provider can authenticate is egress's alone, not only that of the way chosen. */
function withCredential(route: Route, provider: Provider, chosen: ProviderCredential | undefined): Route {
  if (chosen === undefined || !provider.credentialHosts.includes(route.host)) return route;
  const alternatives: readonly AuthScheme[] = provider.credentials;
  return {
    ...route,
    auth: { header: chosen.header, format: chosen.format, tokenRef: chosen.tokenRef },
    credentialHeaders: [
      ...new Set([...route.credentialHeaders, ...alternatives.map(({ header }) => header)]),
    ],
  };
}
