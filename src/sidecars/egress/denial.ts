/**
 * Why egress did not do what was asked: a value, from the stage that found out to the client that reads it.
 * No refusal ever quotes a header's value or a query, so none can carry a secret (I2).
 */
import { STATUS_CODES } from "node:http";
import type { Denial } from "../../contract/sidecar.ts";
import { printable } from "../../lib/printable.ts";

/** Every code and the HTTP status that goes with it; docs/egress.md says what each one means. */
export const DENIAL_STATUS = {
  "request-malformed": 400,
  "head-too-large": 431,
  "bearer-required": 407,
  "not-a-proxy-request": 403,
  "https-in-plaintext": 403,
  "scheme-refused": 403,
  "port-refused": 403,
  "host-invalid": 403,
  "host-mismatch": 403,
  "sni-mismatch": 403,
  "not-tls": 403,
  "ech-refused": 403,
  "host-not-allowed": 403,
  "idn-not-named": 403,
  "proxy-required": 403,
  "method-refused": 403,
  "upgrade-refused": 403,
  "framing-refused": 403,
  "secret-found": 403,
  "canary-found": 403,
  "encoding-refused": 415,
  "body-too-large": 413,
  "answer-refused": 502,
  "path-refused": 403,
  "path-ambiguous": 403,
  "path-not-allowed": 403,
  "method-not-allowed": 403,
  "header-not-allowed": 403,
  "override-refused": 403,
  "git-push-refused": 403,
  "placeholder-misused": 403,
  "grant-ended": 403,
  frozen: 403,
  "plaintext-credential": 403,
  "address-refused": 403,
  "request-rate": 429,
  "upload-rate": 429,
  "download-rate": 429,
  "upload-too-large": 413,
  "upstream-unresolvable": 502,
  "upstream-unreachable": 502,
  "upstream-tls": 502,
  "upstream-protocol": 502,
  "upstream-failed": 502,
  "upstream-proxy": 502,
  "pipelock-blocked": 403,
  "upstream-timeout": 504,
  "log-unavailable": 503,
  overloaded: 503,
  stopping: 503,
} as const satisfies Record<string, number>;

export type DenialCode = keyof typeof DENIAL_STATUS;

export interface Refusal {
  readonly allow: false;
  readonly code: DenialCode;
  /** One sentence for whoever reads the answer. */
  readonly reason: string;
  /** The rule behind it, or what is missing. */
  readonly rule: string;
  /** Whole seconds after which it may be different. */
  readonly retryAfter?: number;
  /** How to ask for it; without it, for access to the target. */
  readonly ask?: Ask;
  /** The operator is asked just that, without waiting for the agent to do it. */
  readonly asks?: boolean;
}

type Ask = Denial["denied"]["ask"];

export function frozen(): Refusal {
  const reason = "this bottle is frozen: nothing leaves it until the operator thaws it";
  return refuse("frozen", reason, "a bottle that is not frozen", {
    ask: { tool: "list_capabilities", arguments: {} },
  });
}

export type Verdict<T> = { readonly allow: true; readonly value: T } | Refusal;

export function allow<T>(value: T): { readonly allow: true; readonly value: T } {
  return { allow: true, value };
}

export function refuse(
  code: DenialCode,
  reason: string,
  rule: string,
  more: Pick<Refusal, "retryAfter" | "ask" | "asks"> = {},
): Refusal {
  return { allow: false, code, reason, rule, ...more };
}

/** Of HTTP/2, whose library passes over what it cannot take for a field. */
export function fieldLeftOut(): Refusal {
  return refuse(
    "request-malformed",
    "a field of this request has no proper name, or a line break, a NUL or another control character in it",
    "HTTP/2, strictly read: every field is one",
  );
}

/** What was asked for, as far as it was understood. All of it may be hostile. */
export interface Subject {
  readonly method: string;
  readonly scheme?: string;
  readonly host?: string;
  /** Where it was said, and is not what host and scheme imply. */
  readonly port?: number;
  /** May have a query; it is not shown. */
  readonly path?: string;
}

const SHOWN_HOST_LENGTH = 260;
const SHOWN_PATH_LENGTH = 512;
const SHOWN_METHOD_LENGTH = 32;

/** `GET https://host/path`: no query, no control characters, bounded. */
export function targetOf(subject: Subject): string {
  const { port, path } = subject;
  const nothing = path === undefined ? "?" : "";
  const host = `${printable(subject.host ?? nothing, SHOWN_HOST_LENGTH)}${port === undefined ? "" : `:${port}`}`;
  const scheme = subject.scheme === undefined ? "" : `${printable(subject.scheme, SHOWN_METHOD_LENGTH)}://`;
  return `${printable(subject.method, SHOWN_METHOD_LENGTH)} ${scheme}${host}${shownPath(path ?? "")}`;
}

/** The path without its query, fit for a log. */
export function shownPath(path: string): string {
  const query = path.search(/[?#]/);
  return printable(query < 0 ? path : path.slice(0, query), SHOWN_PATH_LENGTH);
}

export function denialOf(refusal: Refusal, subject: Subject): Denial {
  const { host, path, method } = subject;
  return {
    denied: {
      code: refusal.code,
      reason: refusal.reason,
      target: targetOf(subject),
      rule: refusal.rule,
      ask: refusal.ask ?? {
        tool: "request_access",
        arguments: {
          ...(host !== undefined && { host: printable(host, SHOWN_HOST_LENGTH) }),
          ...(method !== "CONNECT" && { method: printable(method, SHOWN_METHOD_LENGTH) }),
          ...(path !== undefined && { path: shownPath(path) }),
        },
      },
    },
  };
}

export interface DenialAnswer {
  readonly status: number;
  /** Some clients show nothing of a refused CONNECT but this. */
  readonly phrase: string;
  /** Flat: name, value, name, value. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** Git prints a server's words when they are plain text, and otherwise the status alone. */
export function wantsText(rawHeaders: readonly string[]): boolean {
  return rawHeaders.some(
    (name, i) => i % 2 === 0 && name.toLowerCase() === "user-agent" && rawHeaders[i + 1]?.startsWith("git/"),
  );
}

function inWords({ denied }: Denial): string {
  const { code, reason, target, rule, ask } = denied;
  const lines = [`${code}: ${reason}`, `target: ${target}`, `rule: ${rule}`];
  return `denied: ${lines.join("\n")}\nask: ${ask.tool} ${JSON.stringify(ask.arguments)}\n`;
}

/** `asText`: the same facts on lines, for {@link wantsText}. */
export function denialAnswer(refusal: Refusal, subject: Subject, asText = false): DenialAnswer {
  const status = DENIAL_STATUS[refusal.code];
  const denial = denialOf(refusal, subject);
  const body = asText ? inWords(denial) : `${JSON.stringify(denial)}\n`;
  const challenge = refusal.code === "bearer-required" ? ["Proxy-Authenticate", 'Basic realm="bottle"'] : [];
  return {
    status,
    phrase: status === 403 ? `Denied by bottle: ${refusal.code}` : (STATUS_CODES[status] ?? "Refused"),
    headers: [
      "Content-Type",
      asText ? "text/plain; charset=utf-8" : "application/json",
      "Content-Length",
      String(Buffer.byteLength(body)),
      "Cache-Control",
      "no-store",
      DENIED_HEADER,
      refusal.code,
      ...challenge,
      ...(refusal.retryAfter === undefined ? [] : ["Retry-After", String(refusal.retryAfter)]),
    ],
    body,
  };
}

/** Only egress sets it: an upstream's is removed, so that none can pass its answer off as ours. */
export const DENIED_HEADER = "x-bottle-denied";
