/**
 * Paths, judged exactly as they are sent: egress never rewrites one, so what the rules saw is what the
 * upstream sees. A path that an upstream could read as another one is not guessed at but refused:
 * everywhere when it has no honest use (`..`), where rules depend on the path when it has some (`%2f`).
 */

/** What is neither visible ASCII, or would be read as something else by some server. */
const NEVER = /[^\u0021-\u007e]|[\\#]/;
const BROKEN_ESCAPE = /%(?![0-9a-fA-F]{2})/;
/** `.` and `..`, encoded or not, alone or before a `;` (which Tomcat strips before it resolves them). */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:;[^/]*)?(?=\/|$)/i;
/** What decodes to a character that needs no escape, to a separator, to % itself or to a control character. */
const DISGUISE = /%(?:[01][0-9a-f]|2[5def]|3[0-9b]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9aef])/i;

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
    if (BROKEN_ESCAPE.test(path)) return "has a % that is not followed by two hexadecimal digits";
    if (path.includes("%00")) return "has an encoded NUL";
  }
  if (DOT_SEGMENT.test(path)) return "has a . or .. segment; send it resolved";
  return undefined;
}

/** True when servers differ on what the path means: prefix and regex rules never match such a path. */
export function isAmbiguous(path: string): boolean {
  if (path.includes("//") || path.includes(";")) return true;
  if (!path.includes("%")) return false;
  return DISGUISE.test(path) || !isUtf8(path);
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
