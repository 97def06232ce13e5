/** What egress is told: the plan's routes with each credential put where, and only where, it belongs (I2). */
import type { Endpoint } from "../contract/backend.ts";
import type { BottlePlan, PlannedEnv } from "../contract/plan.ts";
import { INSPECTED, type Route, type UpstreamProxyPlace } from "../contract/policy.ts";
import type { EgressConfig, EgressPolicy, EgressRoute } from "../contract/sidecar.ts";
import { MIN_KNOWN } from "../inspect/known-secret.ts";
import type { CertificateAuthority } from "./certificate-authority.ts";
import { listenPlace, mainPlace } from "./listen-place.ts";

/** Secrets by the name the operator's environment has them under. */
export type Secrets = Readonly<Record<string, string>>;

export interface PolicyMaterial {
  readonly plan: Pick<
    BottlePlan,
    "routes" | "rules" | "env" | "placeholders" | "placeholderHosts" | "upstreamProxy"
  >;
  readonly upstreamCa: readonly string[];
  /** What routes present. */
  readonly credentials: Secrets;
  /** What the agent was given. */
  readonly env: Secrets;
  /** The bottle's decoy credential. */
  readonly decoy: string;
  /** Through which everything leaves, where the bottle has one. */
  readonly pipelock?: {
    readonly port: number;
    readonly authority: string;
    readonly sealed: readonly string[];
  };
}

/** @throws Error when a route's credential is not among those given: launch has asked for it before. */
export function egressPolicy({
  plan,
  upstreamCa,
  credentials,
  env,
  decoy,
  pipelock,
}: PolicyMaterial): EgressPolicy {
  return {
    routes: plan.routes.map((route) => egressRoute(route, credentials)),
    known: [
      ...presented(plan, credentials),
      ...plan.env.filter(isSecret).map(({ name, to }) => ({
        ...{ name, kind: "known" as const, value: env[name] ?? "", to: [...(to ?? [])] },
      })),
      { name: "decoy", kind: "canary" as const, value: decoy, to: [] },
    ].filter(({ value }) => Buffer.byteLength(value) >= MIN_KNOWN),
    rules: plan.rules.map((rule) => ({ ...rule })),
    upstreamCa: [...upstreamCa],
    placeholders: (plan.placeholders ?? []).map((value) => ({
      value,
      to: [...(plan.placeholderHosts ?? [])],
    })),
    ...(plan.upstreamProxy && { upstreamProxy: proxyOf(plan.upstreamProxy, credentials) }),
    ...(pipelock && {
      upstreamProxy: {
        ...{ host: LOOPBACK, port: pipelock.port, tls: false },
        opens: { authority: pipelock.authority, sealed: [...pipelock.sealed] },
      },
    }),
  };
}

/** Of the machine, or the container, that both are on. */
const LOOPBACK = "127.0.0.1";
const PROXY_AUTH = { header: "proxy-authorization", format: "Basic {base64}" } as const;

function proxyOf(
  { host, port, tls, tokenRef }: UpstreamProxyPlace,
  secrets: Secrets,
): NonNullable<EgressPolicy["upstreamProxy"]> {
  if (tokenRef === undefined) return { host, port, tls };
  return { host, port, tls, authorization: headerValue({ ...PROXY_AUTH, tokenRef }, secrets) };
}

/** Of user and password, the password is one by itself. */
function presented(plan: PolicyMaterial["plan"], credentials: Secrets): EgressPolicy["known"] {
  const proxyRef = plan.upstreamProxy?.tokenRef;
  const held = [
    ...plan.routes.flatMap(({ auth }) => auth ?? []),
    ...(proxyRef === undefined ? [] : [{ tokenRef: proxyRef, format: PROXY_AUTH.format }]),
  ];
  const values = new Map<string, string>();
  for (const { tokenRef, format } of held) {
    const value = credentials[tokenRef];
    if (value === undefined) continue;
    values.set(value, tokenRef);
    if (format.includes("{base64}")) values.set(value.slice(value.indexOf(":") + 1), tokenRef);
  }
  return [...values].map(([value, name]) => ({ name, kind: "known", value, to: [] }));
}

/** What the operator bound to hosts or typed as a secret. A literal without hosts is in the clear already. */
export function isSecret({ source, to }: PlannedEnv): boolean {
  return to !== undefined || source.kind === "prompt";
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
    inspection: { ...(route.inspection ?? INSPECTED) },
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

export function egressConfig(request: {
  readonly id: string;
  readonly authority: CertificateAuthority;
  readonly endpoint: Endpoint;
  readonly bearer: string | undefined;
  readonly policy: EgressPolicy;
  readonly plan?: Pick<BottlePlan, "egressLimits" | "egressLog">;
  /** Hex. */
  readonly findingsKey: string;
}): EgressConfig {
  const [tls, http] = (["tls", "http"] as const).map((role) => listenPlace(request.endpoint, role));
  return {
    bottle: request.id,
    ca: { certificate: request.authority.certificate, privateKey: request.authority.privateKey },
    listen: mainPlace(request.endpoint),
    ...(tls !== undefined && http !== undefined && { direct: { tls, http } }),
    findingsKey: request.findingsKey,
    ...(request.bearer !== undefined && { bearer: request.bearer }),
    ...(request.plan?.egressLimits && { limits: request.plan.egressLimits }),
    ...(request.plan?.egressLog !== undefined && { log: request.plan.egressLog }),
    policy: request.policy,
  };
}
