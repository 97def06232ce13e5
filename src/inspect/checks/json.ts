/**
 * JSON, read without an exception where it is none: to make one takes JSON.parse ten microseconds and more, and hostile
 * texts hold thousands of tokens whose contents are nearly JSON.
 */

/** Undefined where `text` is no object of JSON. */
export function jsonObject(text: string): Record<string, unknown> | undefined {
  if (!isJson(text)) return undefined;
  const value: unknown = JSON.parse(text);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Whether JSON.parse would take it. */
export function isJson(text: string): boolean {
  /** What closes the objects and arrays that are open. */
  const closers: string[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const taken = pattern.test(text);
    if (taken) at = pattern.lastIndex;
    return taken;
  };
  const takeSign = (sign: string): boolean => {
    take(SPACE);
    if (text[at] !== sign) return false;
    at++;
    return true;
  };
  const takeName = (): boolean => {
    take(SPACE);
    return take(STRING) && takeSign(":");
  };
  for (;;) {
    // A value, or the beginning of one.
    if (takeSign("{")) {
      if (!takeSign("}")) {
        if (!takeName()) return false;
        closers.push("}");
        continue;
      }
    } else if (takeSign("[")) {
      if (!takeSign("]")) {
        closers.push("]");
        continue;
      }
    } else if (!take(STRING) && !take(SCALAR)) return false;
    // What may stand behind it.
    while (closers.length > 0 && takeSign(closers[closers.length - 1] ?? "")) closers.pop();
    if (closers.length === 0) {
      take(SPACE);
      return at === text.length;
    }
    if (!takeSign(",") || (closers[closers.length - 1] === "}" && !takeName())) return false;
  }
}
