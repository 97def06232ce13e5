/**
 * What a path of a request may be read as. Egress judges paths with it, and the manifest the rules about them:
 * one reading, so that no rule is accepted that egress would never let match.
 */

const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i;
/** `.` and `..`, encoded or not, alone or before a `;` (which Tomcat strips before it resolves them). */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:;[^/]*)?(?=\/|$)/i;
/** What decodes to a character that needs no escape, to a separator, to % itself or to a control character. */
const DISGUISE = /%(?:[01][0-9a-f]|2[5def]|3[0-9b]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9aef])/i;

/** A `%` without two hexadecimal digits. */
export function hasBrokenEscape(path: string): boolean {
  return BROKEN_ESCAPE.test(path);
}

export function hasDotSegment(path: string): boolean {
  return DOT_SEGMENT.test(path);
}

/** In what way servers differ on what `path` means, or undefined when they do not. */
export function ambiguityOf(
  path: string,
): "empty segment" | "parameter" | "disguise" | "no UTF-8" | undefined {
  if (path.includes("//")) return "empty segment";
  if (path.includes(";")) return "parameter";
  if (!path.includes("%")) return undefined;
  if (DISGUISE.test(path)) return "disguise";
  return isUtf8(path) ? undefined : "no UTF-8";
}

/** Overlong forms are the classic disguise: `%c0%ae` is a dot to a decoder that does not check. */
function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with the path that a rule names, or undefined. */
export function faultOfExactRule(value: string): string | undefined {
  if (!value.startsWith("/")) return "must begin with /";
  if (!/^[\u0021-\u007e]*$/.test(value))
    return "must be printable ASCII; write other characters percent-encoded";
  if (/[?#]/.test(value)) return "must be a path alone: rules see neither query nor fragment";
  if (value.includes("\\")) return "must not contain a backslash";
  if (hasBrokenEscape(value)) return "has a % that is not followed by two hexadecimal digits";
  if (value.includes("%00")) return "must not encode a NUL character";
  if (hasDotSegment(value)) return "must not have . or .. as a segment: write the path that it means";
  return undefined;
}

const AMBIGUOUS = {
  "empty segment": "must not contain //: servers differ on what it means",
  parameter: "must not contain a semicolon: servers differ on what it means",
  disguise: "encodes a separator, or what needs no encoding: servers differ on what it means",
  "no UTF-8": "encodes what is no UTF-8",
} as const;

/** The same of a prefix: anything may follow below it, so nothing of it may be read in two ways. */
export function faultOfPrefixRule(value: string): string | undefined {
  const ambiguity = ambiguityOf(value);
  return faultOfExactRule(value) ?? (ambiguity && AMBIGUOUS[ambiguity]);
}
