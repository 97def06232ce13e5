/**
 * Whether `text` is a signed or encrypted JSON Web Token in compact form: a header that decodes to a JSON
 * object with a string `alg`, and a body. An unsigned one (`alg: none`) authenticates nobody.
 * https://datatracker.ietf.org/doc/html/rfc7515#section-4.1.1
 */
export function isJwt(text: string): boolean {
  const [header = "", payload = "", third = ""] = text.split(".");
  if (third.length === 0) return false;
  const fields = jsonObject(header);
  if (fields === undefined) return false;
  const { alg, enc } = fields;
  if (typeof alg !== "string" || alg === "none") return false;
  // RFC 7516: the second part is a key, or empty.
  return typeof enc === "string" || jsonObject(payload) !== undefined;
}

/** In braces: to be told by an exception that a text is no JSON takes microseconds, and hostile ones hold thousands. */
const IN_BRACES = /^[ \t\r\n]*\{.*\}[ \t\r\n]*$/s;

function jsonObject(base64url: string): Record<string, unknown> | undefined {
  const text = Buffer.from(base64url, "base64url").toString("utf8");
  if (!IN_BRACES.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
