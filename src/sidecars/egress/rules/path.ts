/**
 * Paths, judged exactly as they are sent: egress never rewrites one, so what the rules saw is what the
 * upstream sees. A path that an upstream could read as another one is not guessed at but refused:
 * everywhere when it has no honest use (`..`), where rules depend on the path when it has some (`%2f`).
 */
import { ambiguityOf, hasBrokenEscape, hasDotSegment } from "../../../lib/request-path.ts";

/** What is neither visible ASCII, or would be read as something else by some server. */
const NEVER = /[^\u0021-\u007e]|[\\#]/;

/** The path of a request target without its query. */
export function withoutQuery(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

/** Why no route takes this request target (path and query), or undefined. */
export function faultOfPath(target: string): string | undefined {
  if (!target.startsWith("/")) return "does not begin with /";
  if (NEVER.test(target)) return "has a character that must be percent-encoded (or is a \\ or #)";
  const path = withoutQuery(target);
  if (path.includes("%")) {
    if (hasBrokenEscape(path)) return "has a % that is not followed by two hexadecimal digits";
    if (path.includes("%00")) return "has an encoded NUL";
  }
  if (hasDotSegment(path)) return "has a . or .. segment; send it resolved";
  return undefined;
}

/** True when servers differ on what the path means: prefix and regex rules never match such a path. */
export function isAmbiguous(path: string): boolean {
  return ambiguityOf(path) !== undefined;
}
