/** `egress`: what a bottle may reach over HTTP. A route of the manifest becomes a {@link Route} here. */
import * as z from "zod";
import {
  type EgressLimits,
  type HeaderMatch,
  type PathMatch,
  PRESET_NAMES,
  type Route,
  type RouteInspection,
  type RouteMatch,
  type UpstreamProxyPlace,
} from "../contract/policy.ts";
import { parseAddressRange, parseHostPort, parseRouteHost } from "../lib/host.ts";
import { accept, type Parsed, parsedText, reject } from "../lib/parsed.ts";
import { parseAuthScheme } from "./auth-scheme.ts";
import { canonicalHeader, parseHeaderName } from "./header-name.ts";
import { faultOfPath, faultOfPattern } from "./path-rule.ts";
import { byteSizeWithin, hostPath, line, variable } from "./scalars.ts";

const NOT_EMPTY = "is empty, which would say nothing: leave it out";

const method = parsedText((text): Parsed<string> => {
  const upper = text.toUpperCase();
  if (!/^[A-Z][A-Z-]{0,31}$/.test(upper)) return reject("must be a method, such as GET");
  return upper === "CONNECT"
    ? reject("CONNECT is how a proxy is asked, not a request to a host")
    : accept(upper);
});

const pathMatch = z
  .strictObject({
    type: z
      .enum(["exact", "prefix", "regex"])
      .describe("exact: this path. prefix: it and all below it. regex: the whole path matches the pattern."),
    value: z.string().describe("The path, beginning with /, or the pattern."),
  })
  .superRefine((rule, context) => {
    const fault = faultOfPath(rule.type, rule.value);
    if (fault !== undefined) context.addIssue({ code: "custom", path: ["value"], message: fault });
  })
  .transform((rule): PathMatch => rule);

const headerMatch = z
  .strictObject({
    name: parsedText(parseHeaderName).describe("The header's name, in any case."),
    type: z.enum(["exact", "regex"]).exactOptional().describe("How value is compared. Default exact."),
    value: line.describe("The header's value, or the pattern that the whole value matches."),
  })
  .superRefine((rule, context) => {
    const fault = rule.type === "regex" ? faultOfPattern(rule.value) : undefined;
    if (fault !== undefined) context.addIssue({ code: "custom", path: ["value"], message: fault });
  })
  .transform((rule): HeaderMatch => ({ name: rule.name, type: rule.type ?? "exact", value: rule.value }));

const match = z
  .strictObject({
    paths: z.array(pathMatch).min(1, NOT_EMPTY).exactOptional().describe("Any one of these paths."),
    methods: z.array(method).min(1, NOT_EMPTY).exactOptional().describe("Any one of these methods."),
    headers: z.array(headerMatch).min(1, NOT_EMPTY).exactOptional().describe("All of these headers."),
  })
  .superRefine((rule, context) => {
    // A slip of the indentation must not turn a rule into a permission for everything.
    if (Object.keys(rule).length > 0) return;
    const message = "is empty and would allow every request: name paths, methods or headers, or drop matches";
    context.addIssue({ code: "custom", message });
  })
  .transform((rule): RouteMatch => rule);

const auth = z
  .strictObject({
    scheme: parsedText(parseAuthScheme).describe(
      "How the secret is presented: Bearer, token, Basic (the secret is user:password), or header:<Name>.",
    ),
    token_ref: variable.describe(
      "The variable of your environment that holds the secret. Only egress gets it.",
    ),
  })
  .transform((value) => ({ ...value.scheme, tokenRef: value.token_ref }));

const dlp = z
  .strictObject({
    outbound_detectors: z
      .union([z.literal(false), z.array(z.enum(["token_patterns", "known_secrets", "entropy"]))])
      .exactOptional()
      .describe(
        "What looks into requests; default all. Values known to be secret are looked for whatever it says.",
      ),
    inbound_detectors: z
      .union([z.literal(false), z.array(z.enum(["prompt_injection"]))])
      .exactOptional()
      .describe("What looks into answers; default all, and nothing for a provider's own model."),
    outbound_on_match: z
      .enum(["block", "redact", "ask", "supervise"])
      .exactOptional()
      .describe(
        "What happens to a request in which something was found: it is refused (default), its body goes with the " +
          "finding masked (default for a provider's own model), or you are asked (supervise means the same).",
      ),
    inbound_on_match: z
      .enum(["log", "block"])
      .exactOptional()
      .describe("What happens to an answer that tries to instruct the agent. Default log."),
  })
  .transform((value): RouteInspection => {
    const outbound = value.outbound_detectors ?? ["token_patterns", "known_secrets", "entropy"];
    const inbound = value.inbound_detectors ?? ["prompt_injection"];
    const onMatch = value.outbound_on_match ?? "block";
    return {
      patterns: outbound !== false && outbound.includes("token_patterns"),
      budget: outbound !== false && outbound.includes("entropy"),
      onMatch: onMatch === "supervise" ? "ask" : onMatch,
      phrases:
        inbound !== false && inbound.includes("prompt_injection") ? (value.inbound_on_match ?? "log") : "off",
    };
  });

const ownRule = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, "must be a name in lower case: letters, digits, hyphens")
    .describe("What it is called in refusals and in the log."),
  pattern: parsedText((text): Parsed<string> => {
    const fault = faultOfPattern(text);
    return fault === undefined ? accept(text) : reject(fault);
  }).describe("A regular expression in RE2 syntax; it runs in linear time."),
});

const route = z
  .strictObject({
    host: parsedText(parseRouteHost).describe("A host name or IP address; it may begin with one *. label."),
    matches: z
      .array(match)
      .min(1, NOT_EMPTY)
      .exactOptional()
      .describe("Alternatives: a request needs to meet one of them. Without it, every request may pass."),
    auth: auth.exactOptional().describe("The credential that egress adds. The agent never sees it."),
    dlp: dlp.exactOptional().describe("What is inspected on the way to this host and back."),
    tls: z
      .enum(["terminate", "passthrough"])
      .exactOptional()
      .describe("passthrough: the connection is not opened, so nothing in it is checked. Default terminate."),
    allow_addresses: z
      .array(parsedText(parseAddressRange))
      .exactOptional()
      .describe("Private address ranges that this host may have."),
    connect_to: parsedText(parseHostPort)
      .exactOptional()
      .describe("host:port to dial instead. The certificate is still checked against host."),
  })
  .superRefine(
    (value, context) => {
      if (value.tls !== "passthrough") return;
      const refuse = (key: string, message: string): void =>
        context.addIssue({ code: "custom", path: [key], message });
      for (const key of ["auth", "matches", "dlp"] as const) {
        if (Object.hasOwn(value, key))
          refuse(key, "needs the connection opened, which tls: passthrough forbids");
      }
      if (typeof value.host === "string" && value.host.startsWith("*.")) {
        refuse("tls", "passthrough exempts a host from inspection by its name: it cannot go with a wildcard");
      }
    },
    { when: isMapPayload },
  )
  .superRefine((value, context) => {
    const own = value.auth === undefined ? undefined : canonicalHeader(value.auth.header);
    value.matches?.forEach((rule, i) => {
      rule.headers?.forEach((header, j) => {
        if (canonicalHeader(header.name) !== own) return;
        const message = "is the header of auth: it is removed from what the agent sends, so no rule sees it";
        context.addIssue({ code: "custom", path: ["matches", i, "headers", j, "name"], message });
      });
    });
  })
  .transform(toRoute);

type ParsedRoute = {
  readonly host: string;
  readonly matches?: readonly RouteMatch[];
  readonly auth?: NonNullable<Route["auth"]>;
  readonly tls?: Route["tls"];
  readonly allow_addresses?: readonly string[];
  readonly connect_to?: NonNullable<Route["connectTo"]>;
  readonly dlp?: RouteInspection;
};

function toRoute(value: ParsedRoute): Route {
  return {
    host: value.host,
    matches: value.matches ?? [],
    ...(value.auth === undefined ? {} : { auth: value.auth }),
    credentialHeaders: value.auth === undefined ? [] : [value.auth.header],
    tls: value.tls ?? "terminate",
    allowAddresses: value.allow_addresses ?? [],
    ...(value.connect_to === undefined ? {} : { connectTo: value.connect_to }),
    ...(value.dlp === undefined ? {} : { inspection: value.dlp }),
  };
}

/** Lets a check between keys run although some key already has a problem: all are told at once. */
function isMapPayload(payload: { value: unknown }): boolean {
  return typeof payload.value === "object" && payload.value !== null && !Array.isArray(payload.value);
}

const PROXY_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

const proxyUrl = parsedText((text): Parsed<UpstreamProxyPlace> => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usual = url && PROXY_PORTS[url.protocol];
  if (url === undefined || usual === undefined || url.pathname !== "/" || url.search !== "") {
    return reject("must be the proxy's URL, such as http://proxy.example.com:3128");
  }
  if (url.username !== "" || url.password !== "") {
    return reject("must not hold a credential: write {url, token_ref}, and keep it in your environment");
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? usual : Number(url.port);
  return accept({ host, port, tls: url.protocol === "https:" });
});

const upstreamProxy = z.union([
  proxyUrl,
  z
    .strictObject({
      url: proxyUrl.describe("The proxy's URL, such as http://proxy.example.com:3128."),
      token_ref: variable.describe("The variable of your environment that holds user:password for it."),
    })
    .transform((value): UpstreamProxyPlace => ({ ...value.url, tokenRef: value.token_ref })),
]);

const wholeNumber = (most: number) =>
  z
    .number()
    .min(1, "must be at least 1")
    .max(most, `must be at most ${most}`)
    .refine(Number.isInteger, "must be a whole number")
    .exactOptional();

/** Below it not even a real request passes; above it node itself reads no head. */
const HEADER_SIZES = [
  [4 * 2 ** 10, "4K"],
  [2 ** 20, "1M"],
] as const;
/** Less than a mebibyte a minute is no work; more than this no network has. */
const RATES = [
  [2 ** 20, "1M"],
  [64 * 2 ** 40, "64T"],
] as const;
const DAY_SECONDS = 86_400;

const limits = z
  .strictObject({
    header_size: byteSizeWithin(...HEADER_SIZES)
      .exactOptional()
      .describe("Of a request's line and headers. Default 32K."),
    connections: wholeNumber(16_384).describe("Open at once. Default 1024."),
    requests: wholeNumber(4_096).describe("In progress at once. Default 256."),
    idle_seconds: wholeNumber(DAY_SECONDS).describe("Of a request, without a byte. Default 600."),
    tunnel_idle_seconds: wholeNumber(DAY_SECONDS).describe("Of a WebSocket or tunnel. Default 1800."),
    requests_per_minute: wholeNumber(1_000_000).describe("Default: no limit."),
    upload_per_minute: byteSizeWithin(...RATES)
      .exactOptional()
      .describe("Body bytes from the guest. Default: no limit."),
    download_per_minute: byteSizeWithin(...RATES)
      .exactOptional()
      .describe("Body bytes to the guest. Default: no limit."),
  })
  .transform(toLimits);

type ParsedLimits = {
  readonly header_size?: number;
  readonly connections?: number;
  readonly requests?: number;
  readonly idle_seconds?: number;
  readonly tunnel_idle_seconds?: number;
  readonly requests_per_minute?: number;
  readonly upload_per_minute?: number;
  readonly download_per_minute?: number;
};

function toLimits(value: ParsedLimits): EgressLimits {
  return {
    ...(value.header_size !== undefined && { headerBytes: value.header_size }),
    ...(value.connections !== undefined && { connections: value.connections }),
    ...(value.requests !== undefined && { requests: value.requests }),
    ...(value.idle_seconds !== undefined && { idleSeconds: value.idle_seconds }),
    ...(value.tunnel_idle_seconds !== undefined && { tunnelIdleSeconds: value.tunnel_idle_seconds }),
    ...(value.requests_per_minute !== undefined && { requestsPerMinute: value.requests_per_minute }),
    ...(value.upload_per_minute !== undefined && { uploadBytesPerMinute: value.upload_per_minute }),
    ...(value.download_per_minute !== undefined && { downloadBytesPerMinute: value.download_per_minute }),
  };
}

export const egress = z.strictObject({
  routes: z
    .array(route)
    .superRefine(
      (routes, context) => {
        for (const [i, host] of repeatedHosts(routes)) {
          const message = `a route for ${host} is there already: put the matches of both into one route`;
          context.addIssue({ code: "custom", path: [i, "host"], message });
        }
      },
      { when: (payload) => Array.isArray(payload.value) },
    )
    .exactOptional()
    .describe("The hosts that may be reached. What is not listed is denied."),
  rules: z
    .array(ownRule)
    .exactOptional()
    .describe("Patterns of your own that are looked for in every request, like the built-in ones."),
  log: z
    .literal([0, 1, 2])
    .exactOptional()
    .describe(
      "What is logged. 0: what was admitted and denied. 1: each request too (default). 2: with the names and sizes of their headers.",
    ),
  limits: limits.exactOptional().describe("How much, how many and how long."),
  presets: z
    .array(z.enum(PRESET_NAMES))
    .exactOptional()
    .describe("Named groups of read-only routes; hosts are read from your own setup where it says so."),
  upstream_ca: z
    .array(hostPath)
    .exactOptional()
    .describe("PEM files on your host with further roots that egress trusts."),
  upstream_proxy: upstreamProxy
    .exactOptional()
    .describe("The proxy through which egress leaves: its URL, or url and token_ref."),
  pipelock: z
    .boolean()
    .exactOptional()
    .describe(
      "Whether everything that egress sends goes through a pipelock of the bottle's own. Default false.",
    ),
});

/** Index and host of every route whose host an earlier one has. Elements that failed to parse are passed over. */
function repeatedHosts(routes: readonly Partial<Route>[]): [number, string][] {
  const seen = new Set<string>();
  return routes.flatMap((each, i): [number, string][] => {
    if (typeof each?.host !== "string") return [];
    if (seen.has(each.host)) return [[i, each.host]];
    seen.add(each.host);
    return [];
  });
}
