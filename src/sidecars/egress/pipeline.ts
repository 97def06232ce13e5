/**
 * The stages that need nothing but the request, in their order: accept, target, allow-list, route rules, inspection of
 * the head. Each
 * answers with a value; the first refusal ends it. Nothing has been resolved or dialled by then, and no
 * credential touched. After them (exchange.ts): address check, inject, upstream, response.
 */
import { METHODS } from "node:http";
import { isIPv4 } from "node:net";
import type { Tunnel } from "./accept/connection.ts";
import { exactRoutesOf, routesOf } from "./allow-list/allow-list.ts";
import type { Client } from "./client/client.ts";
import { fieldLeftOut, frozen, type Refusal, refuse, type Subject, type Verdict } from "./denial.ts";
import type { CompiledRoute } from "./policy/compile.ts";
import { isLfsBatch, refusedBatch, refusedPush } from "./rules/git-push.ts";
import { type RequestHead, readHead } from "./rules/head.ts";
import { judge } from "./rules/judge.ts";
import type { Generation, Services } from "./services.ts";
import {
  type Asked,
  directTarget,
  proxyTarget,
  subjectOf,
  type Target,
  tunnelTarget,
} from "./target/target.ts";

export interface Admission {
  readonly allow: true;
  readonly target: Target;
  readonly head: RequestHead;
  readonly route: CompiledRoute;
  readonly subject: Subject;
  /** Where the body decides too: asked, before anything is sent on, with all of it or none if it is too long. */
  readonly judgeBody: ((body: Buffer | undefined) => Refusal | undefined) | undefined;
}

export interface Turned {
  readonly allow: false;
  readonly refusal: Refusal;
  readonly subject: Subject;
}

/** What is looked at of a request. */
export interface AskedRequest {
  readonly client: Pick<
    Client,
    "method" | "url" | "rawHeaders" | "authority" | "scheme" | "version" | "isPartial"
  >;
  /** Of the connection; undefined outside of one. */
  readonly tunnel: Tunnel | undefined;
  /** From a program that knows no proxy. */
  readonly direct: boolean;
  /** True when the client left HTTP with this request. */
  readonly upgrading: boolean;
}

/** What is looked at of egress itself. */
export type Gate = Pick<Services, "limits" | "checkBearer" | "budget" | "stopping" | "grants"> & {
  readonly connections: { readonly active: number };
};

export function admit(
  request: AskedRequest,
  gate: Gate,
  { policy, inspection }: Pick<Generation, "policy" | "inspection">,
): Admission | Turned {
  const { client, tunnel } = request;
  const { limits } = gate;
  let subject = subjectOf(client.method, client.url, tunnel);
  const turn = (refusal: Refusal): Turned => ({ allow: false, refusal, subject });

  if (tunnel?.refusal !== undefined) return turn(tunnel.refusal);
  if (client.isPartial) return turn(fieldLeftOut());
  const head = readHead(client.rawHeaders, limits.requestHeaders);
  if (!head.allow) return turn(head);
  // In a tunnel it was asked for at CONNECT.
  const stranger = tunnel === undefined ? gate.checkBearer(head.value.proxyAuthorization) : undefined;
  if (stranger !== undefined) return turn(stranger);
  const wrongMessage =
    refusedVersion(client, head.value) ?? refusedMethod(client.method) ?? refusedScheme(client, tunnel);
  if (wrongMessage !== undefined) return turn(wrongMessage);

  if (policy.frozen) return turn(frozen());
  const { hosts } = head.value;
  const asked = {
    url: client.url,
    authorities: client.authority === undefined ? hosts : [client.authority, ...hosts],
  };
  const target = targetFor(request, asked);
  if (!target.allow) return turn(target);
  const { scheme, host, path } = target.value;
  subject = { method: client.method, scheme, host, path };

  const routes = request.direct ? exactRoutesOf(policy, host) : routesOf(policy, host);
  if (!routes.allow) return turn(routes);
  const judged = { method: client.method, path, head: head.value };
  const push = refusedPush(judged);
  if (push !== undefined) return turn(push);
  const route = judge(routes.value, judged, limits.judgedPathLength, gate.grants.isOpen);
  if (!route.allow) return turn(route);
  const wrongUpgrade = request.upgrading ? refusedUpgrade(client.method, head.value) : undefined;
  if (wrongUpgrade !== undefined) return turn(wrongUpgrade);
  const leak = inspection.refusedHead({ target: target.value, head: head.value, route: route.value });
  if (leak !== undefined) return turn(leak);
  const busy = refusedForNow(gate);
  if (busy !== undefined) return turn(busy);
  const inClear = scheme === "http" ? refusedInClear(route.value) : undefined;
  if (inClear !== undefined) return turn(inClear);
  // Last, because it counts the request.
  const spent = gate.budget.admit(lengthOf(head.value));
  if (spent !== undefined) return turn(spent);
  return {
    allow: true,
    target: target.value,
    head: head.value,
    route: route.value,
    subject: inspection.hush.subject(subject),
    judgeBody: isLfsBatch(judged) ? refusedBatch : undefined,
  };
}

function targetFor({ tunnel, direct }: AskedRequest, asked: Asked): Verdict<Target> {
  if (tunnel !== undefined) return tunnelTarget(tunnel, asked);
  return direct ? directTarget(asked) : proxyTarget(asked);
}

function lengthOf({ contentLength }: RequestHead): number | undefined {
  return contentLength === undefined ? undefined : Number(contentLength);
}

function refusedForNow({ stopping, connections, limits }: Gate): Refusal | undefined {
  if (stopping) return refuse("stopping", "egress is being stopped", "try again");
  if (connections.active <= limits.exchanges) return undefined;
  return refuse("overloaded", `more than ${limits.exchanges} requests are in progress`, "try again later");
}

/** Who says that it speaks another HTTP than the one it was read as may mean another message by it. */
function refusedVersion({ version }: AskedRequest["client"], head: RequestHead): Refusal | undefined {
  if (!["1.0", "1.1", "2"].includes(version)) {
    return refuse("request-malformed", "this is not a proper HTTP/1.1 request", "HTTP/1.1, strictly read");
  }
  // HTTP/1.0 has no chunks: a server that goes by the version takes them for the next request.
  if (version !== "1.0" || !head.chunked) return undefined;
  return refuse("framing-refused", "HTTP/1.0 has no transfer codings", "one Content-Length, or HTTP/1.1");
}

function refusedScheme({ scheme }: AskedRequest["client"], tunnel: Tunnel | undefined): Refusal | undefined {
  if (scheme === undefined || scheme === tunnel?.scheme) return undefined;
  return refuse(
    "scheme-refused",
    "the :scheme of this request is not that of its tunnel",
    `:scheme is ${tunnel?.scheme ?? "http"} here`,
  );
}

/**
 * What there is, as node's HTTP/1 parser has it: HTTP/2 would let a client make its own, and say something in it. TRACE
 * would read a credential back to the guest; a tunnel in a tunnel would not be looked into.
 */
const PASSED_ON: ReadonlySet<string> = new Set(
  METHODS.filter((method) => !["TRACE", "TRACK", "CONNECT"].includes(method)),
);

function refusedMethod(method: string): Refusal | undefined {
  if (PASSED_ON.has(method)) return undefined;
  return refuse("method-refused", "this method is not passed on", "no TRACE, no CONNECT within a tunnel");
}

/** What follows another upgrade would not be HTTP, and not be understood. */
function refusedUpgrade(method: string, head: RequestHead): Refusal | undefined {
  const hasBody = head.chunked || (head.contentLength ?? "0") !== "0";
  if (head.upgrade === "websocket" && method === "GET" && !hasBody) return undefined;
  return refuse("upgrade-refused", "only an upgrade of GET to websocket is passed on", "upgrades: websocket");
}

/** Otherwise a guest that says http:// would have the operator's secret sent in clear over the network. */
function refusedInClear(route: CompiledRoute): Refusal | undefined {
  if (route.inject.length === 0 || isLoopback(route.connectTo?.host ?? "")) return undefined;
  return refuse(
    "plaintext-credential",
    "this route carries a credential, which is sent over https only",
    `route ${route.host}: use https://`,
  );
}

function isLoopback(host: string): boolean {
  return host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
