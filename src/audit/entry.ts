/**
 * One line of a log: canonical JSON of {data, event, hash, prev, seq, time}. `hash` is the sha256 (hex) of
 * the same line without its `hash` member; because members are sorted and only fixed forms come after it,
 * that is the line's own bytes with the last `,"hash":"…"` cut out. `prev` is the hash of the line before,
 * and of the first line a value made from the bottle's id, so that no line fits into another bottle's log.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { type EventData, MAX_DATA_BYTES } from "./bounded-data.ts";
import { canonicalJson, isPlainObject } from "./canonical-json.ts";

export interface Entry {
  /** 1 for the first line. */
  readonly seq: number;
  /** UTC with milliseconds, the keeper's clock: may run backwards when the host's is set. */
  readonly time: string;
  readonly event: string;
  readonly data: EventData;
  readonly prev: string;
  readonly hash: string;
}

/** A line's place in the chain: what the next one builds on. */
export interface Head {
  readonly seq: number;
  readonly hash: string;
}

/** Longest line with its newline: data, marks of what was cut from it, and the other members. */
export const MAX_LINE_BYTES = 2 * MAX_DATA_BYTES;

const EVENT = /^[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)+$/;
const MAX_EVENT_CHARACTERS = 64;

/** Dotted, lower case: `egress.denied`. */
export function isEventName(text: string): boolean {
  return text.length <= MAX_EVENT_CHARACTERS && EVENT.test(text);
}

/** Events under this prefix are the log's own: nobody else writes a head. */
export const OWN_EVENTS = "log.";

/** What the first line's `prev` is. */
export function genesis(bottle: string): string {
  return sha256(`bot-bottle audit log v1\n${bottle}\n`);
}

/** Completes a line with its hash. `line` ends in a newline. */
export function chain(fields: Omit<Entry, "hash">): { readonly entry: Entry; readonly line: string } {
  const unhashed = canonicalJson(fields);
  const hash = sha256(unhashed);
  const at = unhashed.lastIndexOf(',"prev":"');
  const line = `${unhashed.slice(0, at)},"hash":"${hash}"${unhashed.slice(at)}\n`;
  if (Buffer.byteLength(line) > MAX_LINE_BYTES)
    throw new Error(`a line of more than ${MAX_LINE_BYTES} bytes`);
  return { entry: { ...fields, hash }, line };
}

const hex256 = z.string().regex(/^[0-9a-f]{64}$/);

const entrySchema = z.strictObject({
  seq: z.int().positive(),
  time: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  event: z.string().refine(isEventName),
  // Not copied: zod would drop a member named __proto__.
  data: z.custom<EventData>(isPlainObject),
  prev: hex256,
  hash: hex256,
});

export type ParsedLine =
  | { readonly kind: "entry"; readonly entry: Entry; readonly hashIsRight: boolean }
  | {
      readonly kind: "garbage";
      readonly code: "not-json" | "not-an-entry" | "not-canonical";
      readonly detail: string;
    };

/**
 * Reads a line (without its newline) as strictly as it was written: another spelling of the same value,
 * a doubled member, a byte order mark or bytes that are no UTF-8 are not the line that was hashed.
 */
export function parseLine(bytes: Uint8Array): ParsedLine {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    return { kind: "garbage", code: "not-json", detail: "the line is not JSON" };
  }
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join(".") || "the line";
    return { kind: "garbage", code: "not-an-entry", detail: `${where} is not as a log line has it` };
  }
  if (!isCanonical(value, text)) {
    return { kind: "garbage", code: "not-canonical", detail: "the line is not in canonical form" };
  }
  const entry = parsed.data;
  const at = text.lastIndexOf(',"hash":"');
  const unhashed = text.slice(0, at) + text.slice(at + ',"hash":""'.length + entry.hash.length);
  return { kind: "entry", entry, hashIsRight: sha256(unhashed) === entry.hash };
}

/** `fatal`: a decoder that repairs would show a changed byte as the same character. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isCanonical(value: unknown, text: string): boolean {
  try {
    return canonicalJson(value) === text;
  } catch {
    return false;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
