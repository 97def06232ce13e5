import { createHash } from "node:crypto";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const CHECKSUM_BYTES = 4;

/** Digits that a double holds exactly: few big multiplications instead of one a digit. */
const CHUNK = 9;

/**
 * The bytes before the checksum of a base58check string, or undefined if its last four are not the head of
 * their double SHA-256. https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#serialization-format
 */
export function base58checkPayload(text: string): Buffer | undefined {
  let value = 0n;
  for (let at = 0; at < text.length; at += CHUNK) {
    const chunk = text.slice(at, at + CHUNK);
    let small = 0;
    for (const character of chunk) {
      const digit = ALPHABET.indexOf(character);
      if (digit < 0) return undefined;
      small = small * 58 + digit;
    }
    value = value * 58n ** BigInt(chunk.length) + BigInt(small);
  }
  const hex = value.toString(16);
  const zeros = /^1{0,200}/.exec(text)?.[0].length ?? 0;
  const bytes = Buffer.concat([
    Buffer.alloc(zeros),
    Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"),
  ]);
  if (bytes.length <= CHECKSUM_BYTES) return undefined;
  const payload = bytes.subarray(0, -CHECKSUM_BYTES);
  const checksum = sha256(sha256(payload)).subarray(0, CHECKSUM_BYTES);
  return checksum.equals(bytes.subarray(-CHECKSUM_BYTES)) ? payload : undefined;
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
