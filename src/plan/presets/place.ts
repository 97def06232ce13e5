/** Where an operator's registry is, as a route and as the URL by which the guest calls it. */
import { isIP } from "node:net";
import type { PathMatch, Route, RouteMatch } from "../../contract/policy.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";

export interface Place {
  readonly host: string;
  /** Begins with / and ends without; empty for the root. */
  readonly path: string;
  /** Without port and credential: https is 443 in the guest, http is 80, and egress dials the real port. */
  readonly guestUrl: string;
  /** The URL held a user or a password. They are left out. */
  readonly hadCredential: boolean;
  readonly connectTo?: { readonly host: string; readonly port: number };
}

const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/**
 * @param what is being read, for the error: `the npm registry of ~/.npmrc`.
 * @throws UserError for what cannot be reached from a guest: another scheme, or this very machine.
 */
export function placeOf(text: string, what: string): Place {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usual = url === undefined ? undefined : PORTS[url.protocol];
  // Never quoted: it may hold a password.
  if (url === undefined || usual === undefined || url.hostname === "") {
    throw new UserError(`${what} is not an http or https URL, so no preset can lead there`, {
      hint: "take the preset out of egress.presets, and write a route for the host instead",
    });
  }
  const host = url.hostname.replace(/^\[|\]$|\.$/g, "");
  if (isThisMachine(host)) {
    throw new UserError(
      `${what} is on this machine itself (${printable(host)}), which in a guest is the guest`,
      { hint: "give it a name: a route with host: registry.internal and connect_to: 127.0.0.1:<port>" },
    );
  }
  const port = url.port === "" ? usual : Number(url.port);
  const path = url.pathname.replace(/\/+$/, "");
  return {
    host,
    path,
    guestUrl: `${url.protocol}//${url.hostname}${path}/`,
    hadCredential: url.username !== "" || url.password !== "",
    ...(port === usual ? {} : { connectTo: { host, port } }),
  };
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "::1" || /^(?:127|0)\./.test(host);
}

/** Only what reads: nothing is published by it, and nothing has a body. */
const READING = ["GET", "HEAD"] as const;

export function reading(paths: readonly string[]): RouteMatch {
  return { methods: [...READING], paths: paths.map((value): PathMatch => ({ type: "prefix", value })) };
}

/** A route to `place`, for `matches`. An address that the operator's own setup names needs no further permission. */
export function routeTo(place: Pick<Place, "host" | "connectTo">, matches: readonly RouteMatch[]): Route {
  const version = isIP(place.host);
  return {
    host: place.host,
    matches,
    credentialHeaders: [],
    tls: "terminate",
    allowAddresses: version === 0 ? [] : [`${place.host}/${version === 4 ? 32 : 128}`],
    ...(place.connectTo === undefined ? {} : { connectTo: place.connectTo }),
  };
}

export function credentialWarning(preset: string, host: string): string {
  return `your setup has a credential for ${printable(host)}, which the preset ${preset} leaves out: if it is needed, write a route for the host with auth`;
}
