/**
 * What egress would say to a request, asked of the very stages it would pass (pipeline.ts), with nothing sent,
 * dialled or resolved. What only shows on the way is left out: addresses, the upstream, the body.
 */
import { randomBytes } from "node:crypto";
import { createGrants } from "../../approvals/grant-counter.ts";
import type { EgressPolicy } from "../../contract/sidecar.ts";
import { routesOf } from "./allow-list/allow-list.ts";
import { UNLIMITED } from "./budget.ts";
import { DENIAL_STATUS, type Refusal, refuse, type Subject, targetOf } from "./denial.ts";
import { compileInspection } from "./inspection/inspection.ts";
import { LIMITS } from "./limits.ts";
import { type AskedRequest, admit, type Gate } from "./pipeline.ts";
import { type CompiledPolicy, type CompiledRoute, compilePolicy } from "./policy/compile.ts";
import { readHead } from "./rules/head.ts";
import { ruleBehind } from "./rules/judge.ts";
import type { Generation } from "./services.ts";
import { hostInUrl } from "./target/authority.ts";
import { connectTarget, splitAbsolute, type TunnelTarget } from "./target/target.ts";
import { proxyFor } from "./upstream/proxy.ts";

export interface DryRequest {
  readonly method: string;
  /** With scheme and host; taken as it is, byte for byte. */
  readonly url: string;
  /** Flat: name, value. `Host` is added when it is missing. */
  readonly headers: readonly string[];
}

export type DryVerdict =
  | {
      readonly allow: true;
      readonly target: string;
      /** Host of the route, as the operator wrote it. */
      readonly route: string;
      /** `GET on /repos/*`; of an exempted host, that nothing is looked at. */
      readonly rule: string;
      /** Names of the headers that would be set. */
      readonly credential: readonly string[];
      /** `host:port` that would be dialled, after its addresses were checked. */
      readonly dials: string;
      /** The proxy that would be asked to. */
      readonly through?: string;
      /** True when the body decides too. */
      readonly bodyDecides: boolean;
    }
  | {
      readonly allow: false;
      readonly target: string;
      readonly code: string;
      readonly status: number;
      readonly reason: string;
      readonly rule: string;
    };

/** Always at rest: neither stopping nor busy, and of its own bottle. */
const GATE: Gate = {
  limits: LIMITS,
  checkBearer: () => undefined,
  budget: UNLIMITED,
  grants: createGrants(),
  stopping: false,
  connections: { active: 0 },
};

/** Rejects with a UserError when the policy cannot be served. */
export async function dryRun(
  policy: EgressPolicy,
  { method, url, headers }: DryRequest,
): Promise<DryVerdict> {
  const key = randomBytes(32).toString("hex");
  const compiled = {
    policy: compilePolicy(policy),
    inspection: await compileInspection(policy, key, LIMITS),
  };
  const parts = splitAbsolute(url);
  if (parts?.scheme !== "https") {
    return inPipeline(compiled, undefined, { method, url, headers: withHost(headers, parts?.authority) });
  }
  const { authority, path } = parts;
  const subject = { method, scheme: "https", host: authority, path };
  const tunnel = connectTarget(/:[0-9]*$/.test(authority) ? authority : `${authority}:443`);
  if (!tunnel.allow) return denied(tunnel, subject);
  if (tunnel.value.scheme !== "https") return denied(notForTls(), subject);
  const exempted = passedThrough(compiled.policy, tunnel.value.host);
  if (exempted !== undefined) {
    return allowed(compiled.policy, exempted, "not opened: nothing in it is looked at", subject);
  }
  return inPipeline(compiled, tunnel.value, { method, url: path, headers: withHost(headers, authority) });
}

function inPipeline(
  generation: Pick<Generation, "policy" | "inspection">,
  tunnel: TunnelTarget | undefined,
  { method, url, headers }: DryRequest,
): DryVerdict {
  const head = readHead(headers, LIMITS.requestHeaders);
  const request: AskedRequest = {
    client: {
      ...{ method, url, rawHeaders: headers, authority: undefined, scheme: undefined },
      ...{ version: "1.1", isPartial: false },
    },
    tunnel: tunnel && { ...tunnel, refusal: undefined },
    direct: false,
    upgrading: head.allow && head.value.upgrade !== undefined,
  };
  const admitted = admit(request, GATE, generation);
  if (!admitted.allow) return denied(admitted.refusal, admitted.subject);
  const { route, target, judgeBody, subject } = admitted;
  const rule = ruleBehind(route, { method, path: target.path, head: admitted.head }, LIMITS.judgedPathLength);
  return { ...allowed(generation.policy, route, rule, subject), bodyDecides: judgeBody !== undefined };
}

function passedThrough(policy: CompiledPolicy, host: string): CompiledRoute | undefined {
  const routes = routesOf(policy, host);
  return routes.allow && routes.value.tls === "passthrough" ? routes.value.routes[0] : undefined;
}

function allowed(
  { proxy }: CompiledPolicy,
  route: CompiledRoute,
  rule: string,
  subject: Subject,
): Extract<DryVerdict, { allow: true }> {
  const port = subject.scheme === "https" ? 443 : 80;
  const to = route.connectTo ?? { host: subject.host ?? "", port };
  const through = proxyFor(proxy, route);
  return {
    allow: true,
    target: targetOf(subject),
    route: route.host,
    rule,
    credential: route.credential,
    dials: `${hostInUrl(to.host)}:${to.port}`,
    ...(through !== undefined && { through: through.name }),
    bodyDecides: false,
  };
}

/** Its CONNECT would be served, and the TLS in it not understood. */
function notForTls(): Refusal {
  return refuse("port-refused", "in a tunnel to port 80 there is plain HTTP", "https is reached on port 443");
}

function denied({ code, reason, rule }: Refusal, subject: Subject): DryVerdict {
  return { allow: false, target: targetOf(subject), code, status: DENIAL_STATUS[code], reason, rule };
}

function withHost(headers: readonly string[], authority: string | undefined): readonly string[] {
  const given = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === "host");
  return given || authority === undefined ? headers : ["Host", authority, ...headers];
}
