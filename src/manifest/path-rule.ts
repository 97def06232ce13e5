/**
 * The value of a path rule. Egress compares rules with *normalised* paths; a rule that is not in normal form
 * could never match, or would seem to say more than it does. So it is refused here, where it can be explained.
 */
import { RE2JS, RE2JSSyntaxException } from "re2js";
import type { PathMatch } from "../contract/policy.ts";
import { printable } from "../lib/printable.ts";

/** Longer is no rule a person wrote; and the cost of compiling a pattern is bounded by it. */
const MAX_PATTERN_LENGTH = 512;
const AMBIGUOUS_ESCAPE = /%(?:2e|2f|5c|00)/i;
const PRINTABLE_ASCII = /^[\u0021-\u007e]*$/;

/** What is wrong with the rule, or undefined. */
export function faultOfPath(type: PathMatch["type"], value: string): string | undefined {
  return type === "regex" ? faultOfPattern(value) : faultOfLiteral(value);
}

function faultOfLiteral(value: string): string | undefined {
  if (!value.startsWith("/")) return "must begin with /";
  if (!PRINTABLE_ASCII.test(value)) return "must be printable ASCII; write other characters percent-encoded";
  if (/[?#]/.test(value)) return "must be a path alone: rules see neither query nor fragment";
  if (value.includes("\\")) return "must not contain a backslash";
  if (value.includes("//")) return "must not contain //: paths are compared in their normal form";
  if (value.split("/").some((segment) => segment === "." || segment === "..")) {
    return "must not contain . or .. as a segment: paths are compared in their normal form";
  }
  if (AMBIGUOUS_ESCAPE.test(value)) return "must not encode a dot, a slash or a backslash";
  if (/%(?![0-9a-f]{2})/i.test(value)) return "has a % that is not followed by two hexadecimal digits";
  return undefined;
}

/** For patterns of paths and of header values: RE2 syntax, which egress runs in linear time on what the guest sends. */
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
