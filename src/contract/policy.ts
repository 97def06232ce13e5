/**
 * What a bottle may reach over HTTP, as plain data: shared by the manifest (which parses it), a provider
 * (which declares what its product needs), the plan (which shows it) and egress (which enforces it).
 * Vocabulary: the Gateway API's HTTPRoute.
 */

export interface PathMatch {
  /** `prefix` matches whole path segments: `/a` covers `/a` and `/a/b`, never `/ab`. */
  readonly type: "exact" | "prefix" | "regex";
  readonly value: string;
}

export interface HeaderMatch {
  /** Lower case. */
  readonly name: string;
  readonly type: "exact" | "regex";
  readonly value: string;
}

/** All members that are present must hold; within a member, any one of the list. Headers: all of them. */
export interface RouteMatch {
  readonly paths?: readonly PathMatch[];
  /** Upper case. */
  readonly methods?: readonly string[];
  readonly headers?: readonly HeaderMatch[];
}

/**
 * How a credential is presented upstream. `header` is lower case; in `format`, `{}` is the secret's place and
 * `{base64}` the place of its base64 (for Basic the secret is `user:password`).
 */
export interface AuthScheme {
  readonly header: string;
  readonly format: string;
}

export interface RouteAuth extends AuthScheme {
  /** The name under which the operator's environment holds the secret. */
  readonly tokenRef: string;
}

/** Groups of read-only routes that a bottle can name in `egress.presets`. */
export const PRESET_NAMES = ["npm", "pypi", "crates", "go", "debian", "github-read"] as const;
export type PresetName = (typeof PRESET_NAMES)[number];

/** What is looked for in what goes to a host and comes from it, besides the values that are known to be secret. */
export interface RouteInspection {
  /** Whether requests are searched for what looks like a secret. */
  readonly patterns: boolean;
  /** Whether what leaves over many small requests is watched. It only ever logs. */
  readonly budget: boolean;
  /**
   * When a pattern is found in a request: refuse it, send it with the finding masked (in bodies; elsewhere it is
   * refused), or ask the operator. A known secret always blocks.
   */
  readonly onMatch: "block" | "redact" | "ask";
  /** What becomes of an answer that tries to instruct the agent. */
  readonly phrases: "off" | "log" | "block";
}

/** A pattern of the operator's own that is looked for in requests; RE2 syntax. */
export interface OwnRule {
  readonly id: string;
  readonly pattern: string;
}

export interface Route {
  /** A lower-case host name without trailing dot, an IP literal, or one `*.` label and a name. */
  readonly host: string;
  /** Any one of them; empty means every request to the host. */
  readonly matches: readonly RouteMatch[];
  readonly auth?: RouteAuth;
  /** Lower-case names of headers that only egress may set: removed from what the guest sends. */
  readonly credentialHeaders: readonly string[];
  readonly tls: "terminate" | "passthrough";
  /** CIDRs that this host may resolve to although they are private. */
  readonly allowAddresses: readonly string[];
  /** Dial this instead of resolving the host. TLS still checks the certificate against `host`. */
  readonly connectTo?: { readonly host: string; readonly port: number };
  /** Absent: {@link INSPECTED}. */
  readonly inspection?: RouteInspection;
}

/** What an operator may set of egress's limits; src/sidecars/egress/limits.ts has the others, and the reasons. */
export interface EgressLimits {
  /** Of a request's line and headers. */
  readonly headerBytes?: number;
  readonly connections?: number;
  /** In progress at once. */
  readonly requests?: number;
  /** Without a byte in either direction. */
  readonly idleSeconds?: number;
  readonly tunnelIdleSeconds?: number;
  readonly requestsPerMinute?: number;
  readonly uploadBytesPerMinute?: number;
  readonly downloadBytesPerMinute?: number;
}

/** How much of the traffic is logged: what was admitted and denied; each request too; names and sizes of their headers besides. */
export type EgressLogLevel = 0 | 1 | 2;

/** The proxy through which egress leaves, a company's say. */
export interface UpstreamProxyPlace {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** The variable of the operator's environment that holds `user:password` for it. */
  readonly tokenRef?: string;
}

/** For a route that says nothing else. */
export const INSPECTED: RouteInspection = {
  patterns: true,
  budget: true,
  onMatch: "block",
  phrases: "log",
};

/** For a provider's own model: a conversation that once held a key can go on, without it. */
export const INSPECTED_MODEL: RouteInspection = {
  patterns: true,
  budget: false,
  onMatch: "redact",
  phrases: "off",
};
