/**
 * What of an upstream's answer head is passed on: nothing that is about its own connection, nothing that
 * points the client past egress, and nothing that only egress may say.
 */
import type { AnswerHead } from "../client/client.ts";
import { allow, DENIED_HEADER, refuse, type Verdict } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import { canonicalName, isConnectionHeader, isEndToEnd } from "../rules/headers.ts";

/** Alt-Svc offers another way to the same host (HTTP/3), which does not lead through here. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set(["alt-svc", DENIED_HEADER]);
const BODYLESS: ReadonlySet<number> = new Set([204, 304]);

export interface UpstreamHead {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  readonly rawHeaders: readonly string[];
}

export function answerHead(upstream: UpstreamHead, method: string): Verdict<AnswerHead> {
  const { rawHeaders: raw, statusCode: status = 0, statusMessage: phrase = "" } = upstream;
  if (raw.length > 2 * LIMITS.responseHeaders) {
    return refuse(
      "upstream-protocol",
      `the answer has more than ${LIMITS.responseHeaders} headers`,
      "size of an answer's head",
    );
  }
  const bodyless = method === "HEAD" || BODYLESS.has(status);
  const headers: string[] = [];
  let nominated: Set<string> | undefined;
  let chunked = false;
  let length: string | undefined;
  let trailers = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = canonicalName(raw[i] ?? "");
    const value = raw[i + 1] ?? "";
    if (name === "connection" && value.toLowerCase() !== "keep-alive" && value.toLowerCase() !== "close") {
      nominated ??= new Set();
      for (const token of value.split(",")) nominated.add(canonicalName(token.trim()));
    }
    if (name === "transfer-encoding") {
      if (chunked || value.toLowerCase() !== "chunked") return badFraming();
      chunked = true;
    }
    if (name === "content-length") {
      if (!/^[0-9]+$/.test(value) || (length ?? value) !== value) return badFraming();
      if (length !== undefined || status === 204) continue;
      length = value;
    }
    if (name === "trailer") trailers = true;
    if (!isConnectionHeader(name) && !NOT_PASSED_ON.has(name)) headers.push(raw[i] ?? "", value);
  }
  if (chunked && length !== undefined) return badFraming();
  return allow({
    status,
    phrase,
    headers: without(headers, nominated),
    bodyless,
    trailers: trailers && chunked,
  });
}

/** Of an answer's trailers, what might have been in its head as well. */
export function answerTrailers(raw: readonly string[]): readonly string[] {
  return raw.filter((_, i) => {
    const name = canonicalName(raw[i - (i % 2)] ?? "");
    return isEndToEnd(name) && !NOT_PASSED_ON.has(name);
  });
}

function without(headers: string[], nominated: ReadonlySet<string> | undefined): readonly string[] {
  if (nominated === undefined) return headers;
  return headers.filter((_, i) => !nominated.has(canonicalName(headers[i - (i % 2)] ?? "")));
}

function badFraming(): Verdict<never> {
  return refuse(
    "upstream-protocol",
    "the upstream states the length of its answer twice, or with a transfer coding other than chunked",
    "an upstream that speaks HTTP/1.1",
  );
}
