/**
 * The value of a path rule. Egress judges a path exactly as the guest sends it and refuses one that servers
 * read in different ways; a rule that only such a path could meet would never match, or would seem to say
 * more than it does. So it is refused here, where it can be explained at its place in the file.
 */
import { RE2JS, RE2JSSyntaxException } from "re2js";
import type { PathMatch } from "../contract/policy.ts";
import { unreachable } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { faultOfExactRule, faultOfPrefixRule } from "../lib/request-path.ts";

/** Longer is no rule a person wrote; and the cost of compiling a pattern is bounded by it. */
const MAX_PATTERN_LENGTH = 512;

/** What is wrong with the rule, or undefined. */
export function faultOfPath(type: PathMatch["type"], value: string): string | undefined {
  switch (type) {
    case "regex":
      return faultOfPattern(value);
    case "exact":
      return faultOfExactRule(value);
    case "prefix":
      return faultOfPrefixRule(value);
    default:
      return unreachable(type);
  }
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
