/**
 * What an event carries, cut to size. Much of it comes from a hostile guest (paths, header names, error
 * texts): one event must not fill the disk or make a line that no reader takes. A cut leaves a mark that
 * says how much is missing, so that a short value and a shortened one are never confused.
 */
import { isPlainObject, type JsonValue } from "./canonical-json.ts";

/** Of one event's data as JSON. Room for the largest request with its answer, and for every ref that one push may have. */
export const MAX_DATA_BYTES = 64 * 1024;
/** Of one string: longer than any URL that servers accept. */
const MAX_STRING_CHARACTERS = 8 * 1024;
/** Of one member's name. */
const MAX_NAME_CHARACTERS = 128;
/** Members of one object, items of one array: people read these. */
const MAX_ITEMS = 256;
/** Levels of nesting; our own events have two or three. */
const MAX_DEPTH = 8;
/** An escaped control character is `\u0000`. */
const MAX_ESCAPED_BYTES = 6;
/** Around a list or an object, empty ones too. */
const BRACKET_BYTES = 2;

export type EventData = Readonly<Record<string, JsonValue>>;

/**
 * A copy of `data` that is JSON and small. Members that are undefined are left out, as JSON.stringify does.
 * @throws TypeError for what is no JSON: a programming error, never a guest's doing.
 */
export function boundedData(data: Readonly<Record<string, unknown>>): EventData {
  return boundedObject(data, { bytes: MAX_DATA_BYTES }, 0);
}

/** What is left; shared by everything below one event. */
interface Budget {
  bytes: number;
}

function bounded(value: unknown, budget: Budget, depth: number): JsonValue {
  if (value === null || typeof value === "boolean") {
    budget.bytes -= 5;
    return value;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${value} is no JSON number`);
    budget.bytes -= 25;
    // JSON has one zero: the copy is what a reader will see.
    return value === 0 ? 0 : value;
  }
  if (typeof value === "string") return boundedString(value, MAX_STRING_CHARACTERS, budget);
  const isArray = Array.isArray(value);
  if (!isArray && !isPlainObject(value)) throw new TypeError(`a ${typeof value} that is no JSON value`);
  if (depth >= MAX_DEPTH) return boundedString("…[nested too deep]", MAX_STRING_CHARACTERS, budget);
  return isArray ? boundedArray(value, budget, depth) : boundedObject(value, budget, depth);
}

function boundedArray(items: readonly unknown[], budget: Budget, depth: number): readonly JsonValue[] {
  const out: JsonValue[] = [];
  budget.bytes -= BRACKET_BYTES;
  for (const item of items) {
    if (out.length >= MAX_ITEMS || budget.bytes <= 0) {
      out.push(`…[${items.length - out.length} more items]`);
      break;
    }
    budget.bytes -= 1;
    out.push(bounded(item, budget, depth + 1));
  }
  return out;
}

function boundedObject(value: Readonly<Record<string, unknown>>, budget: Budget, depth: number): EventData {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  // Who, when and how often come before what is many: a list that a guest made long must not push them off the line.
  members.sort(([, a], [, b]) => Number(isMany(a)) - Number(isMany(b)));
  const out: [name: string, value: JsonValue][] = [];
  budget.bytes -= BRACKET_BYTES;
  for (const [name, member] of members) {
    if (out.length >= MAX_ITEMS || budget.bytes <= 0) {
      out.push(["…", `${members.length - out.length} more members`]);
      break;
    }
    out.push([boundedString(name, MAX_NAME_CHARACTERS, budget), bounded(member, budget, depth + 1)]);
  }
  // fromEntries defines; an assignment would let a member called __proto__ become the prototype.
  return Object.fromEntries(out);
}

function isMany(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function boundedString(text: string, maxCharacters: number, budget: Budget): string {
  const affordable = Math.max(0, Math.floor(budget.bytes / MAX_ESCAPED_BYTES));
  // Only a string that may not fit pays by the worst case.
  const room =
    text.length > affordable && jsonBytes(text.slice(0, maxCharacters)) > budget.bytes
      ? affordable
      : maxCharacters;
  const kept = text.length <= room ? text : text.slice(0, room);
  const cut = text.length - kept.length;
  const result = wellFormed(kept) + (cut === 0 ? "" : `…[${cut} more characters]`);
  budget.bytes -= jsonBytes(result) + 2;
  return result;
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}

/** Half a surrogate pair has no UTF-8; also what a cut in the middle of a pair leaves. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
