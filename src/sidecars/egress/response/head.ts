/**
 * What an upstream's answer head says of its own framing, and what of it is passed on: nothing that is about its own connection, nothing that
 * points the client past egress, and nothing that only egress may say.
 */
import type { AnswerHead } from "../client/client.ts";
import { allow, DENIED_HEADER, refuse, type Verdict } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import { canonicalName, isConnectionHeader, isEndToEnd } from "../rules/headers.ts";

/** Alt-Svc offers another way to the same host (HTTP/3), which does not lead through here. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set(["alt-svc", DENIED_HEADER]);
const BODYLESS: ReadonlySet<number> = new Set([204, 304]);

/** As it was written. */
export interface UpstreamHead {
  readonly status: number;
  readonly phrase: string;
  /** HTTP/1.0. */
  readonly isOld: boolean;
  /** Flat: name, value. */
  readonly rawHeaders: readonly string[];
}

/** Where the body ends. */
export type AnswerFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** With the connection. */
  | { readonly kind: "close" };

export interface StatedAnswer {
  /** What is passed on. */
  readonly head: AnswerHead;
  readonly framing: AnswerFraming;
  /** The upstream takes another request on this connection. */
  readonly persistent: boolean;
  readonly rawHeaders: readonly string[];
}

export function answerHead(upstream: UpstreamHead, method: string): Verdict<StatedAnswer> {
  const { rawHeaders: raw, status, phrase, isOld } = upstream;
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
    const said = raw[i] ?? "";
    const name = canonicalName(said);
    const value = raw[i + 1] ?? "";
    switch (name) {
      case "connection":
        nominated ??= new Set();
        for (const token of value.split(",")) nominated.add(canonicalName(token.trim()));
        continue;
      case "transfer-encoding":
        if (chunked || !isReally(name, said) || value.toLowerCase() !== "chunked") return badFraming();
        chunked = true;
        continue;
      case "content-length":
        if (!LENGTH.test(value) || !isReally(name, said) || (length ?? value) !== value) return badFraming();
        if (length !== undefined || status === 204) continue;
        length = value;
        break;
      case "trailer":
        trailers = true;
        continue;
    }
    if (!isConnectionHeader(name) && !NOT_PASSED_ON.has(name)) headers.push(said, value);
  }
  if (chunked && length !== undefined) return badFraming();
  const framing = framingOf(bodyless, chunked, length);
  return allow({
    head: {
      ...{ status, phrase, bodyless, trailers: trailers && chunked },
      headers: nominated === undefined ? headers : without(headers, nominated),
    },
    framing,
    persistent: isPersistent(isOld, chunked, nominated) && framing.kind !== "close",
    rawHeaders: raw,
  });
}

/** At most 2^53: what is longer is no length. */
const LENGTH = /^[0-9]{1,15}$/;

/** `Content_Length` says nothing here, and something elsewhere. */
const isReally = (name: string, said: string): boolean => said.length === name.length && !said.includes("_");

function framingOf(bodyless: boolean, chunked: boolean, length: string | undefined): AnswerFraming {
  if (bodyless) return { kind: "none" };
  if (chunked) return { kind: "chunked" };
  return length === undefined ? { kind: "close" } : { kind: "length", bytes: Number(length) };
}

/** RFC 9112, section 9.3. HTTP/1.0 has no chunks: who sends them there is not asked again. */
function isPersistent(isOld: boolean, chunked: boolean, options: ReadonlySet<string> | undefined): boolean {
  if (options?.has("close")) return false;
  return !isOld || (!chunked && options?.has("keep-alive") === true);
}

/** Of an answer's trailers, what might have been in its head as well. */
export function answerTrailers(raw: readonly string[]): readonly string[] {
  return raw.filter((_, i) => {
    const name = canonicalName(raw[i - (i % 2)] ?? "");
    return isEndToEnd(name) && !NOT_PASSED_ON.has(name);
  });
}

function without(headers: readonly string[], nominated: ReadonlySet<string>): readonly string[] {
  return headers.filter((_, i) => !nominated.has(canonicalName(headers[i - (i % 2)] ?? "")));
}

function badFraming(): Verdict<never> {
  return refuse(
    "upstream-protocol",
    "the upstream states the length of its answer twice, or with a transfer coding other than chunked",
    "an upstream that speaks HTTP/1.1",
  );
}
