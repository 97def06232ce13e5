/**
 * The value of a path rule. Egress judges a path exactly as the guest sends it and refuses one that servers
 * read in different ways; a rule that only such a path could meet would never match, or would seem to say
 * more than it does. So it is refused here, where it can be explained at its place in the file.
 */
import { RE2JS, RE2JSSyntaxException } from "re2js";
import type { PathMatch } from "../contract/policy.ts";
import { unreachable } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { ambiguityOf, hasBrokenEscape, hasDotSegment } from "../lib/request-path.ts";

/** Longer is no rule a person wrote; and the cost of compiling a pattern is bounded by it. */
const MAX_PATTERN_LENGTH = 512;

/** What is wrong with the rule, or undefined. */
export function faultOfPath(type: PathMatch["type"], value: string): string | undefined {
  switch (type) {
    case "regex":
      return faultOfPattern(value);
    case "exact":
      return faultOfExact(value);
    case "prefix":
      return faultOfExact(value) ?? faultOfPrefix(value);
    default:
      return unreachable(type);
  }
}

function faultOfExact(value: string): string | undefined {
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

/** Below a prefix anything may follow, so nothing of it may be read in two ways. */
function faultOfPrefix(value: string): string | undefined {
  const ambiguity = ambiguityOf(value);
  return ambiguity && AMBIGUOUS[ambiguity];
}

/**
 * For patterns of paths and of header values: RE2 syntax, which egress runs in linear time on what the guest
 * sends.
 */
export function faultOfPattern(value: string): string | undefined {
  if (value.length > MAX_PATTERN_LENGTH) return `is longer than ${MAX_PATTERN_LENGTH} characters`;
  try {
    RE2JS.compile(value);
    return undefined;
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error;
    return `is not a regular expression (RE2 syntax): ${printable(error.getDescription())}`;
  }
}
