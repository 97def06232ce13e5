/**
 * What a request is for, settled before any rule is asked: one scheme, one host, one path. Every place that
 * names the host (CONNECT, SNI, request line, Host or :authority) must name the same one, or a request that
 * the allow-list passed for one host would reach another behind the same address (domain fronting).
 */
import { allow, refuse, type Subject, type Verdict } from "../denial.ts";
import { faultOfPath } from "../rules/path.ts";
import { parseAuthority } from "./authority.ts";

export interface Target {
  readonly scheme: "http" | "https";
  readonly host: string;
  /** Path and query, byte for byte what is sent upstream. */
  readonly path: string;
}

export interface Asked {
  /** The request target as it was sent. */
  readonly url: string;
  /** Every Host header, and :authority where there is one. */
  readonly authorities: readonly string[];
}

const PORTS = { http: 80, https: 443 } as const;
const PORT_RULE = "http is reached on port 80, https on port 443; a route's connect_to may dial another";

/** What a request names, as far as it can be read: to speak of it in a refusal, and never to decide by it. */
export function subjectOf(method: string, url: string, tunnel?: TunnelTarget): Subject {
  const absolute = splitAbsolute(url);
  if (absolute !== undefined) {
    const { scheme, authority, path } = absolute;
    return { method, scheme, ...placeIn(authority), path };
  }
  if (method === "CONNECT" && url !== "") return { method, ...placeIn(url) };
  return { method, ...(tunnel && { scheme: tunnel.scheme, host: tunnel.host }), path: url };
}

/** Without user information, which may be a password, and without a query, which may hold one (I2). */
function placeIn(authority: string): Pick<Subject, "host" | "port"> {
  const bare = authority.replace(/[/?#].*$/s, "").replace(/^.*@/s, "");
  const { host, port } = parseAuthority(bare) ?? { host: bare, port: undefined };
  return { host, ...(port !== undefined && { port }) };
}

/** Where a tunnel leads, and what is spoken in it: TLS to port 443, plain HTTP to port 80. */
export type TunnelTarget = Pick<Target, "scheme" | "host">;

/** Of `CONNECT host:443`. Some clients tunnel plain HTTP too; it is looked at like any other. */
export function connectTarget(url: string): Verdict<TunnelTarget> {
  const authority = parseAuthority(url);
  if (authority === undefined) return invalidHost();
  const { host, port } = authority;
  if (port === PORTS.https) return allow({ scheme: "https", host });
  if (port === PORTS.http) return allow({ scheme: "http", host });
  return refuse(
    "port-refused",
    "CONNECT leads to port 443, or 80 for plain HTTP, and nowhere else",
    PORT_RULE,
  );
}

/** A request outside of any tunnel: `GET http://host/path`. */
export function proxyTarget(asked: Asked): Verdict<Target> {
  const absolute = splitAbsolute(asked.url);
  if (absolute === undefined) {
    return refuse(
      "not-a-proxy-request",
      "this is an HTTP proxy: it needs CONNECT host:443, or a request line with a whole http:// URL",
      "requests name their host in the request line",
    );
  }
  if (absolute.scheme === "https") {
    return refuse(
      "https-in-plaintext",
      "an https:// URL was sent to the proxy without encryption; use CONNECT for it",
      "https goes through CONNECT",
    );
  }
  if (absolute.scheme !== "http") {
    return refuse("scheme-refused", "only http and https URLs can be reached", "schemes: http, https");
  }
  return settle("http", absolute, asked.authorities);
}

/** From a program that took egress for the host itself: `GET /path`, and Host says which host it wants. */
export function directTarget(asked: Asked): Verdict<Target> {
  if (!asked.url.startsWith("/") && asked.url !== "*") return proxyTarget(asked);
  return settle("http", { authority: asked.authorities[0] ?? "", path: asked.url }, asked.authorities);
}

/** A request inside a tunnel: `GET /path`, or the same with scheme and host before it. */
export function tunnelTarget({ scheme, host }: TunnelTarget, asked: Asked): Verdict<Target> {
  if (asked.url.startsWith("/") || asked.url === "*") {
    return settleOn(scheme, host, asked.url, asked.authorities);
  }
  const absolute = splitAbsolute(asked.url);
  if (absolute?.scheme !== scheme) {
    return refuse("request-malformed", `the request line has neither a path nor an ${scheme}:// URL`, "HTTP");
  }
  const target = settle(scheme, absolute, asked.authorities);
  if (target.allow && target.value.host !== host) return mismatch(host);
  return target;
}

function settle(
  scheme: Target["scheme"],
  named: { readonly authority: string; readonly path: string },
  authorities: readonly string[],
): Verdict<Target> {
  const authority = parseAuthority(named.authority);
  if (authority === undefined) return invalidHost();
  if (authority.port !== undefined && authority.port !== PORTS[scheme]) {
    return refuse("port-refused", `${scheme} is reached on port ${PORTS[scheme]} only`, PORT_RULE);
  }
  return settleOn(scheme, authority.host, named.path, authorities);
}

function settleOn(
  scheme: Target["scheme"],
  host: string,
  path: string,
  authorities: readonly string[],
): Verdict<Target> {
  if (authorities.length === 0) return mismatch(host);
  for (const text of authorities) {
    if (text === host) continue;
    const other = parseAuthority(text);
    if (other?.host !== host || (other.port ?? PORTS[scheme]) !== PORTS[scheme]) return mismatch(host);
  }
  const fault = faultOfPath(path);
  if (fault !== undefined)
    return refuse("path-refused", `the path ${fault}`, "paths that mean one thing only");
  return allow({ scheme, host, path });
}

/** Scheme in lower case; authority and path as they are. Undefined for what has none of the first two. */
export function splitAbsolute(
  url: string,
): { readonly scheme: string; readonly authority: string; readonly path: string } | undefined {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(url);
  if (parts === null) return undefined;
  const [, scheme = "", authority = "", rest = ""] = parts;
  return { scheme: scheme.toLowerCase(), authority, path: rest.startsWith("/") ? rest : `/${rest}` };
}

function invalidHost(): Verdict<never> {
  return refuse(
    "host-invalid",
    "the host is not a plain host name or an address in its usual form",
    "hosts are ASCII names without user information, IPv4 as four decimal numbers, or [IPv6]",
  );
}

function mismatch(host: string): Verdict<never> {
  return refuse(
    "host-mismatch",
    "the Host header (or :authority) does not name, exactly once, the host the request is for",
    `CONNECT, SNI and Host agree: here on ${host}`,
  );
}
