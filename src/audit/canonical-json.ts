/**
 * JSON with exactly one way to write each value (RFC 8785): no white space, members sorted by UTF-16 code
 * units, ECMAScript's own form of strings and numbers. What is hashed must not depend on who wrote it.
 */

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Deeper is refused: a hostile line of brackets must not exhaust the stack of whoever verifies it. */
export const MAX_JSON_DEPTH = 32;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** @throws TypeError for what is no JSON value, nests too deep, or holds half a surrogate pair (no UTF-8 for it). */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MAX_JSON_DEPTH) throw new TypeError(`nested deeper than ${MAX_JSON_DEPTH}`);
  switch (typeof value) {
    case "string":
      if (LONE_SURROGATE.test(value)) throw new TypeError("half a surrogate pair");
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${value} is no JSON number`);
      return JSON.stringify(value);
    case "boolean":
      return String(value);
    case "object": {
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(",")}]`;
      if (!isPlainObject(value)) throw new TypeError("an object that is no JSON");
      const members = Object.keys(value)
        .sort()
        .map((name) => `${canonicalJson(name)}:${canonicalJson(value[name], depth + 1)}`);
      return `{${members.join(",")}}`;
    }
    default:
      throw new TypeError(`a ${typeof value} is no JSON value`);
  }
}

/** An object literal or what JSON.parse makes, of any realm; no Date, Map or class instance. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
