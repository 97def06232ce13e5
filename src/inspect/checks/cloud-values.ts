import { looksRandom } from "./randomness.ts";

/** Whether 40 characters are a secret access key and not a hash, a path or AWS's documented placeholder. */
export function isAwsSecret(secret: string): boolean {
  if (/^[0-9a-f]{40}$|^[0-9A-F]{40}$/.test(secret) || secret.endsWith("EXAMPLEKEY")) return false;
  return looksRandom(secret);
}
