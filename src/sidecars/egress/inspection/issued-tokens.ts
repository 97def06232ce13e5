/**
 * Tokens that an upstream gave the guest over this egress, and where each may go because of that: back to who gave it,
 * or where who gave it said. To whoever has it already nothing is told by it; to nobody else does it open anything. What
 * the guest tried to send before it came in, it may hold from elsewhere: an upstream that repeats it makes it no token of
 * its own. Known secrets and decoys are never asked about here. Of each only its mark is kept (I2).
 */

/** A place in requests: `header api.example.com`. */
export type Audience = string;

export const inHeader = (host: string): Audience => `header ${host}`;
export const inUrl = (host: string): Audience => `url ${host}`;
/** One endpoint, without its query: where a token is refreshed, and nobody else reads it. */
export const inBody = (host: string, path: string): Audience => `body ${host}${path}`;

export interface IssuedTokens {
  issue(fingerprint: string, to: Audience): void;
  mayGo(fingerprint: string, to: Audience): boolean;
  /** The guest has it, wherever from: it will not be taken for an upstream's any more. */
  seenFromGuest(fingerprint: string): void;
  /** `host` answered that tokens for it are to be had at `endpoint`. */
  refer(endpoint: string, host: string): void;
  /** Who refers to `endpoint`. */
  referrers(endpoint: string): readonly string[];
}

/** Of tokens; a session has some dozens that live for minutes. */
const REMEMBERED = 1024;
/** Of values found in what the guest sends. More of them make nothing go where it could not be read before. */
const REMEMBERED_OF_GUEST = 8192;
/** Of one token, and of hosts that refer to one endpoint: each is another host of a route. */
const AUDIENCES = 16;
const ENDPOINTS = 64;

export function createIssuedTokens(): IssuedTokens {
  const tokens = new Map<string, readonly string[]>();
  const ofGuest = new Map<string, readonly string[]>();
  const endpoints = new Map<string, readonly string[]>();
  return {
    issue(fingerprint, to) {
      if (!ofGuest.has(fingerprint) || tokens.has(fingerprint)) add(tokens, fingerprint, to, REMEMBERED);
    },
    mayGo: (fingerprint, to) => tokens.get(fingerprint)?.includes(to) === true,
    seenFromGuest(fingerprint) {
      if (!tokens.has(fingerprint)) add(ofGuest, fingerprint, "", REMEMBERED_OF_GUEST);
    },
    refer: (endpoint, host) => add(endpoints, endpoint, host, ENDPOINTS),
    referrers: (endpoint) => endpoints.get(endpoint) ?? [],
  };
}

/** The key becomes the latest; the oldest give way. */
function add(map: Map<string, readonly string[]>, key: string, value: string, most: number): void {
  const known = map.get(key) ?? [];
  map.delete(key);
  map.set(key, [...known.filter((each) => each !== value), value].slice(-AUDIENCES));
  const oldest = map.size > most ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}
