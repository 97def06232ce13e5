/**
 * How the keeper and a sidecar talk: one JSON value a line. On the sidecar's stdin `config` (with its
 * secrets, and only its own), `reload`, `answer`, `recorded`; on its stdout `ready`, `log`, `event`, `ask`.
 * SIGTERM drains; the end of stdin means that the keeper is gone: stop.
 * For inherited listeners it says `{awaits: <service>}` over Node's IPC, and gets `{listener: <service>, role}` with
 * each handle, before `ready`.
 */
import * as z from "zod";

const pathMatch = z.strictObject({ type: z.enum(["exact", "prefix", "regex"]), value: z.string() });
const headerMatch = z.strictObject({ name: z.string(), type: z.enum(["exact", "regex"]), value: z.string() });

const limited = z.strictObject({ most: z.number().int().min(1), before: z.number().int().min(0) });

/** What was given for a while. `before`: what was used of it before this was said. */
export const routeGrantSchema = z.strictObject({
  id: z.string(),
  /** Milliseconds since the epoch; absent: for as long as the bottle runs. */
  until: z.number().int().optional(),
  uses: limited.optional(),
  /** Of bodies, both directions. */
  bytes: limited.optional(),
});
export type RouteGrant = z.infer<typeof routeGrantSchema>;

/** One route as egress gets it: a {@link Route} whose credential is the finished header value. */
export const egressRouteSchema = z.strictObject({
  host: z.string(),
  matches: z.array(
    z.strictObject({
      paths: z.array(pathMatch).optional(),
      methods: z.array(z.string()).optional(),
      headers: z.array(headerMatch).optional(),
    }),
  ),
  /** Secret. Set on every request that the route allows, after `credentialHeaders` were removed. */
  inject: z.array(z.strictObject({ header: z.string(), value: z.string() })),
  credentialHeaders: z.array(z.string()),
  tls: z.enum(["terminate", "passthrough"]),
  allowAddresses: z.array(z.string()),
  connectTo: z.strictObject({ host: z.string(), port: z.number().int().min(1).max(65_535) }).optional(),
  /** On what the route hangs; absent: it is the bottle's own. */
  grant: routeGrantSchema.optional(),
  /** A {@link RouteInspection}. */
  inspection: z.strictObject({
    patterns: z.boolean(),
    budget: z.boolean(),
    onMatch: z.enum(["block", "redact", "ask"]),
    phrases: z.enum(["off", "log", "block"]),
  }),
});

/** Where a sidecar listens. */
export const listenSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("inherited") }),
  z.strictObject({ kind: z.literal("unix"), path: z.string(), mode: z.number().int().optional() }),
  z.strictObject({ kind: z.literal("tcp"), host: z.string(), port: z.number().int().min(0).max(65_535) }),
]);

export const egressPolicySchema = z.strictObject({
  routes: z.array(egressRouteSchema),
  /** Values that must not leave, but to the hosts in `to` (as in a route's `host`). Secret. */
  known: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(["known", "canary"]),
      value: z.string(),
      to: z.array(z.string()),
    }),
  ),
  /** Findings that may pass to one host, by their mark; never a value that is known to be secret. */
  exceptions: z
    .array(
      z.strictObject({
        host: z.string(),
        detector: z.string(),
        finding: z.string(),
        grant: routeGrantSchema.optional(),
      }),
    )
    .optional(),
  /** Nothing leaves, and what is under way ends, until a policy says otherwise. */
  frozen: z.boolean().optional(),
  /** The operator's own patterns, in RE2 syntax. */
  rules: z.array(z.strictObject({ id: z.string(), pattern: z.string() })),
  /** PEM texts trusted besides the system's roots. */
  upstreamCa: z.array(z.string()),
  /**
   * What stands for credentials in the guest: no request may carry one where none is put in its place. Bodies to the
   * hosts in `to`, which get the credential itself, may speak of it.
   */
  placeholders: z.array(z.strictObject({ value: z.string(), to: z.array(z.string()) })).optional(),
  /** Through which egress leaves; names are then resolved there. */
  upstreamProxy: z
    .strictObject({
      host: z.string(),
      port: z.number().int().min(1).max(65_535),
      tls: z.boolean(),
      /** Secret: the value of `Proxy-Authorization`. */
      authorization: z.string().optional(),
      /**
       * It opens TLS itself, as this PEM's authority: what comes through it is that authority's and nobody else's, but
       * for the hosts in `sealed` (as in a route's `host`), whose TLS it leaves closed.
       */
      opens: z.strictObject({ authority: z.string(), sealed: z.array(z.string()) }).optional(),
    })
    .optional(),
});

const count = z.number().int().min(1);

/** See {@link EgressLimits}. */
const egressLimitsSchema = z.strictObject({
  headerBytes: count.max(2 ** 20).optional(),
  connections: count.optional(),
  requests: count.optional(),
  idleSeconds: count.optional(),
  tunnelIdleSeconds: count.optional(),
  requestsPerMinute: count.optional(),
  uploadBytesPerMinute: count.optional(),
  downloadBytesPerMinute: count.optional(),
});

export const egressConfigSchema = z.strictObject({
  bottle: z.string(),
  /** The bottle's own CA. The key is secret: it lives in the keeper's memory and in egress's, nowhere else. */
  ca: z.strictObject({ certificate: z.string(), privateKey: z.string() }),
  listen: listenSchema,
  /** For programs in the guest that know no proxy: TLS by SNI, plain HTTP by Host. Not with a bearer. */
  direct: z.strictObject({ tls: listenSchema, http: listenSchema }).optional(),
  /** Hex. Key of the marks that findings carry: the same value has the same one for as long as the bottle lives. */
  findingsKey: z.string().regex(/^[0-9a-f]{32,}$/),
  /** When set, every request must carry it as `Proxy-Authorization: Bearer` (or Basic with it as password). */
  bearer: z.string().optional(),
  /** What takes the place of egress's own limits; those a minute are none by default. */
  limits: egressLimitsSchema.optional(),
  /** 0: what was admitted and denied. 1: each request too (the default). 2: with the names and sizes of their headers. */
  log: z.literal([0, 1, 2]).optional(),
  policy: egressPolicySchema,
});

export type EgressRoute = z.infer<typeof egressRouteSchema>;
export type EgressPolicy = z.infer<typeof egressPolicySchema>;
export type EgressConfig = z.infer<typeof egressConfigSchema>;

/** To a sidecar. `C` is its configuration, `P` the part that can be replaced while it runs. */
export type ToSidecar<C = unknown, P = unknown> =
  | { readonly type: "config"; readonly config: C }
  | { readonly type: "reload"; readonly policy: P }
  | { readonly type: "answer"; readonly ask: string; readonly answer: unknown }
  /** The event with this receipt is on the log (I8). */
  | { readonly type: "recorded"; readonly receipt: number };

/** From a sidecar; the keeper parses it as it would a stranger's. */
export const fromSidecarSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("ready"),
    /** Addresses really bound, for people and tests: `127.0.0.1:9099`, a socket path, or `inherited`. */
    listening: z.array(z.string()),
  }),
  /** The answer to `reload`: refused whole, the old policy still in force, when `error` is there. */
  z.strictObject({ type: z.literal("reloaded"), error: z.string().optional() }),
  z.strictObject({ type: z.literal("log"), level: z.enum(["info", "warn", "error"]), text: z.string() }),
  z.strictObject({
    type: z.literal("event"),
    /** Dotted, lower case: `egress.allowed`, `egress.denied`. */
    event: z.string(),
    data: z.record(z.string(), z.unknown()),
    /** Set on what the sidecar does only once it is told that the event was `recorded`. */
    receipt: z.number().int().min(1).optional(),
  }),
  z.strictObject({ type: z.literal("ask"), ask: z.string(), data: z.record(z.string(), z.unknown()) }),
]);
export type FromSidecar = z.infer<typeof fromSidecarSchema>;

/** The one shape of a denial, on every surface. HTTP: status 403 and header `x-bottle-denied: <code>`. */
export interface Denial {
  readonly denied: {
    /** Stable, kebab-case; docs/egress.md lists them. */
    readonly code: string;
    readonly reason: string;
    /** What was asked for, without any secret: `GET https://host/path`. */
    readonly target: string;
    /** The rule behind it, or what is missing. */
    readonly rule: string;
    /** The ready-made call that asks for it. */
    readonly ask: { readonly tool: string; readonly arguments: Readonly<Record<string, unknown>> };
  };
}
