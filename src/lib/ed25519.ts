/**
 * New ed25519 keys as bytes. Never by `export({ format: "jwk" })` of a KeyObject that was generated: Node 20 holds the key's
 * lock while that makes its strings, and should garbage be collected then, what is left of the generating takes the
 * same lock in the same thread, and the process stands still for ever.
 */
import { generateKeyPairSync } from "node:crypto";

export interface Ed25519Pair {
  /** The secret half, 32 bytes. */
  readonly seed: Buffer;
  /** The public half, 32 bytes. */
  readonly point: Buffer;
}

export function makeEd25519Pair(): Ed25519Pair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519", {
    privateKeyEncoding: { type: "pkcs8", format: "der" },
    publicKeyEncoding: { type: "spki", format: "der" },
  });
  // Each is the end of its structure: RFC 8410, sections 4 and 7.
  return { seed: privateKey.subarray(-32), point: publicKey.subarray(-32) };
}
