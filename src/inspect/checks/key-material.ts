/**
 * Whether `json`, a piece of an object, is a JSON Web Key with its private part: `d` of the length its type asks for, or a symmetric
 * `k`. A public key set has the same other members, and stands in every OpenID Connect exchange.
 */
export function isPrivateJwk(json: string): boolean {
  const text = json.replaceAll("\\", "");
  const kty = /"kty"\s{0,4}:\s{0,4}"(\w{2,3})"/.exec(text)?.[1];
  const member = kty === "oct" ? "k" : "d";
  const value = new RegExp(`"${member}"\\s{0,4}:\\s{0,4}"([A-Za-z0-9_-]{22,1400})"`).exec(text)?.[1];
  if (value === undefined || new Set(value).size < MIN_DIFFERENT) return false;
  const bytes = Buffer.from(value, "base64url").length;
  switch (kty) {
    case "RSA":
      return bytes >= 120;
    case "EC":
    case "OKP":
      return bytes >= 28 && bytes <= 66;
    case "oct":
      return bytes >= 16;
    default:
      return false;
  }
}

/** Fewer different characters are an example. */
const MIN_DIFFERENT = 10;
