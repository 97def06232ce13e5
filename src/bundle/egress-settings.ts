/** What egress is told: the plan's routes with each credential put where, and only where, it belongs (I2). */
import type { Endpoint } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { Route, UpstreamProxyPlace } from "../contract/policy.ts";
import type { EgressConfig, EgressPolicy, EgressRoute } from "../contract/sidecar.ts";
import type { CertificateAuthority } from "./certificate-authority.ts";

/** Secrets by the name the operator's environment has them under. */
export type Secrets = Readonly<Record<string, string>>;

/** What of a plan egress is told besides routes and their credentials. */
export type PlannedEgress = Pick<BottlePlan, "placeholders" | "upstreamProxy">;

/** @throws Error when a route's credential is not among `secrets`: launch has asked for it before. */
export function egressPolicy(
  routes: readonly Route[],
  upstreamCa: readonly string[],
  secrets: Secrets,
  { placeholders = [], upstreamProxy }: PlannedEgress = {},
): EgressPolicy {
  return {
    routes: routes.map((route) => egressRoute(route, secrets)),
    upstreamCa: [...upstreamCa],
    placeholders: [...placeholders],
    ...(upstreamProxy && { upstreamProxy: proxyOf(upstreamProxy, secrets) }),
  };
}

function proxyOf(
  { host, port, tls, tokenRef }: UpstreamProxyPlace,
  secrets: Secrets,
): NonNullable<EgressPolicy["upstreamProxy"]> {
  if (tokenRef === undefined) return { host, port, tls };
  const auth = { header: "proxy-authorization", format: "Basic {base64}", tokenRef };
  return { host, port, tls, authorization: headerValue(auth, secrets) };
}

function egressRoute(route: Route, secrets: Secrets): EgressRoute {
  const { auth, connectTo } = route;
  return {
    host: route.host,
    matches: route.matches.map((match) => ({
      ...(match.paths && { paths: match.paths.map((path) => ({ ...path })) }),
      ...(match.methods && { methods: [...match.methods] }),
      ...(match.headers && { headers: match.headers.map((header) => ({ ...header })) }),
    })),
    inject: auth === undefined ? [] : [{ header: auth.header, value: headerValue(auth, secrets) }],
    credentialHeaders: [...route.credentialHeaders],
    tls: route.tls,
    allowAddresses: [...route.allowAddresses],
    ...(connectTo && { connectTo: { ...connectTo } }),
  };
}

function headerValue(auth: NonNullable<Route["auth"]>, secrets: Secrets): string {
  const secret = secrets[auth.tokenRef];
  if (secret === undefined) throw new Error(`no value for ${auth.tokenRef}`);
  return auth.format
    .replace("{base64}", () => Buffer.from(secret).toString("base64"))
    .replace("{}", () => secret);
}

const INHERITED = { kind: "inherited" } as const;

export function egressConfig(request: {
  readonly id: string;
  readonly authority: CertificateAuthority;
  readonly endpoint: Endpoint;
  readonly bearer: string | undefined;
  readonly policy: EgressPolicy;
  readonly plan?: Pick<BottlePlan, "egressLimits" | "egressLog">;
}): EgressConfig {
  const { listen } = request.endpoint;
  return {
    bottle: request.id,
    ca: { certificate: request.authority.certificate, privateKey: request.authority.privateKey },
    listen: listen.kind === "inherited" ? INHERITED : { ...listen },
    ...(listen.kind === "inherited" &&
      listen.roles.includes("tls") && { direct: { tls: INHERITED, http: INHERITED } }),
    ...(request.bearer !== undefined && { bearer: request.bearer }),
    ...(request.plan?.egressLimits && { limits: request.plan.egressLimits }),
    ...(request.plan?.egressLog !== undefined && { log: request.plan.egressLog }),
    policy: request.policy,
  };
}
