/**
 * A policy as it was sent, made into what requests are asked against: patterns compiled, hosts in one
 * spelling, ranges parsed. Whatever in it cannot mean what it seems to say refuses the whole policy, so a
 * slip never becomes a wider rule. No error quotes an injected value (I2).
 */
import { createHash } from "node:crypto";
import { validateHeaderValue } from "node:http";
import type { RouteInspection } from "../../../contract/policy.ts";
import type { EgressPolicy, EgressRoute } from "../../../contract/sidecar.ts";
import { messageOf, UserError } from "../../../lib/errors.ts";
import { printable } from "../../../lib/printable.ts";
import { type AddressRange, parseRange } from "../address/ranges.ts";
import { canonicalName, isEndToEnd, isHeaderName } from "../rules/headers.ts";
import { canonicalHost } from "../target/authority.ts";

import { upstreamRoots } from "../upstream/roots.ts";
import { type CompiledMatch, compileMatch } from "./match.ts";
import { compileProxy, type UpstreamProxy } from "./upstream-proxy.ts";

export interface CompiledRoute {
  /** As the operator wrote it; may begin with `*.`. */
  readonly host: string;
  /** Any one; empty: every request. */
  readonly matches: readonly CompiledMatch[];
  /** Canonical names of headers that the guest may not send. */
  readonly stripped: ReadonlySet<string>;
  /** Secret. Flat: name, value. */
  readonly inject: readonly string[];
  /** Secret. What of `inject` must never come back: the values, and the token in each that has a scheme. */
  readonly secrets: readonly string[];
  /** The names in `inject`. */
  readonly credential: readonly string[];
  readonly allowed: readonly AddressRange[];
  readonly connectTo: { readonly host: string; readonly port: number } | undefined;
  readonly inspection: RouteInspection;
  /** On what it hangs. */
  readonly grant: { readonly id: string; readonly isCounted: boolean } | undefined;
  /** Equal only for routes whose connections are interchangeable: where they go and as whom. */
  readonly identity: string;
}

/** The routes of one host; several are asked in order. */
export interface HostRoutes {
  readonly tls: EgressRoute["tls"];
  readonly routes: readonly CompiledRoute[];
}

export interface CompiledPolicy {
  readonly exact: ReadonlyMap<string, HostRoutes>;
  /** By the name behind `*.`. */
  readonly wildcard: ReadonlyMap<string, HostRoutes>;
  readonly roots: ReturnType<typeof upstreamRoots>;
  /** Nothing leaves. */
  readonly frozen: boolean;
  /** Through which everything leaves but what is on this machine. */
  readonly proxy: UpstreamProxy | undefined;
}

/** @throws UserError saying which route and what is wrong with it. */
export function compilePolicy(policy: EgressPolicy): CompiledPolicy {
  const exact = new Map<string, HostRoutes>();
  const wildcard = new Map<string, HostRoutes>();
  for (const [index, route] of policy.routes.entries()) {
    try {
      const { table, key } = tableOf(route.host, exact, wildcard);
      const known = table.get(key);
      if (known !== undefined && known.tls !== route.tls) {
        throw new UserError("another route of this host says otherwise on tls");
      }
      table.set(key, { tls: route.tls, routes: [...(known?.routes ?? []), compileRoute(route)] });
    } catch (error) {
      throw new UserError(`route ${index + 1} (${printable(route.host)}): ${messageOf(error)}`);
    }
  }
  if (
    policy.upstreamProxy?.opens !== undefined &&
    policy.routes.some(({ connectTo }) => connectTo !== undefined)
  )
    throw new UserError("connectTo: a proxy that opens TLS connects to the host itself");
  return {
    exact,
    wildcard,
    roots: upstreamRoots(policy.upstreamCa),
    frozen: policy.frozen === true,
    proxy: compileProxy(policy.upstreamProxy),
  };
}

type Table = Map<string, HostRoutes>;

function tableOf(host: string, exact: Table, wildcard: Table): { table: Table; key: string } {
  const isWildcard = host.startsWith("*.");
  const text = isWildcard ? host.slice(2) : host;
  const key = canonicalHost(text.includes(":") && !text.startsWith("[") ? `[${text}]` : text);
  if (key === undefined || (isWildcard && /:|^[0-9.]+$/.test(key))) {
    throw new UserError("the host is neither a name, an address nor *. and a name");
  }
  return { table: isWildcard ? wildcard : exact, key };
}

function compileRoute(route: EgressRoute): CompiledRoute {
  const isSealed = route.tls === "passthrough";
  if (isSealed && (route.inject.length > 0 || route.matches.length > 0 || route.grant !== undefined)) {
    throw new UserError("tls: passthrough sees nothing inside, so it goes with no matches, inject or grant");
  }
  const inject = route.inject.flatMap(({ header, value }) => [checkedHeader(header, value), value]);
  const credential = route.inject.map(({ header }) => header.toLowerCase());
  const stripped = new Set([...route.credentialHeaders, ...credential].map(canonicalName));
  const allowed = route.allowAddresses.map((text) => {
    const range = parseRange(text);
    if (range === undefined) throw new UserError(`allowAddresses: ${printable(text)} is no address range`);
    return range;
  });
  const dialled = route.connectTo && canonicalDestination(route.connectTo);
  const identity = createHash("sha256")
    .update(JSON.stringify([dialled ?? null, route.allowAddresses, inject]))
    .digest("base64");
  return {
    host: route.host,
    matches: route.matches.map((match) => compileMatch(match, stripped)),
    stripped,
    inject,
    secrets: route.inject.flatMap(({ value }) => secretsIn(value)),
    credential,
    allowed,
    connectTo: dialled,
    inspection: route.inspection,
    grant: route.grant && { id: route.grant.id, isCounted: route.grant.uses !== undefined },
    identity,
  };
}

/** Behind a scheme the token alone; of Basic also what it is the base64 of, and of that the password. */
function secretsIn(value: string): string[] {
  const [, scheme = "", token] = /^([A-Za-z]+) (.+)$/.exec(value) ?? [];
  if (token === undefined) return [value];
  if (scheme.toLowerCase() !== "basic") return [token];
  const login = Buffer.from(token, "base64").toString();
  return [token, login, login.slice(login.indexOf(":") + 1)];
}

function canonicalDestination(to: { host: string; port: number }): { host: string; port: number } {
  const bare = to.host.includes(":") && !to.host.startsWith("[") ? `[${to.host}]` : to.host;
  const host = canonicalHost(bare);
  if (host === undefined) throw new UserError("connectTo: the host is neither a name nor an address");
  return { host, port: to.port };
}

function checkedHeader(name: string, value: string): string {
  if (!isHeaderName(name)) throw new UserError(`inject: ${printable(name)} is no header name`);
  if (!isEndToEnd(canonicalName(name))) {
    throw new UserError(`inject: ${name} is not a header that a credential can travel in`);
  }
  try {
    validateHeaderValue(name, value);
  } catch {
    throw new UserError(`inject: the value for ${name} has characters that no header can carry`);
  }
  return name;
}
