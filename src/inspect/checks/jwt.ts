import { jsonObject } from "./json.ts";

/**
 * Whether `text` is a signed or encrypted JSON Web Token in compact form: a header that decodes to a JSON
 * object with a string `alg`, and a body. An unsigned one (`alg: none`) authenticates nobody.
 * https://datatracker.ietf.org/doc/html/rfc7515#section-4.1.1
 */
export function isJwt(text: string): boolean {
  const [header = "", payload = "", third = ""] = text.split(".");
  const fields = decodedObject(header);
  if (fields === undefined) return false;
  const { alg, enc } = fields;
  if (typeof alg !== "string" || alg === "none") return false;
  if (typeof enc === "string") return third.length > 0; // RFC 7516: the second part is a key, or empty
  return third.length > 0 && decodedObject(payload) !== undefined;
}

function decodedObject(base64url: string): Record<string, unknown> | undefined {
  return jsonObject(Buffer.from(base64url, "base64url").toString("utf8"));
}
