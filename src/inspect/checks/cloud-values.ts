import { looksRandom } from "./randomness.ts";

/** Whether 40 characters are a secret access key and not a hash, a path or AWS's documented placeholder. */
export function isAwsSecret(secret: string): boolean {
  if (/^[0-9a-f]{40}$|^[0-9A-F]{40}$/.test(secret) || secret.endsWith("EXAMPLEKEY")) return false;
  return looksRandom(secret);
}

/**
 * Whether a shared access signature is complete and permits more than reading and listing. Read-only ones
 * are how release pages, package mirrors and model hubs hand out ordinary downloads.
 */
export function isWritingSas(query: string): boolean {
  const fields = new URLSearchParams(query.replaceAll("&amp;", "&"));
  const permissions = fields.get("sp") ?? "";
  return fields.has("sv") && fields.has("sig") && /[acwdxiutmopyfe]/.test(permissions);
}
