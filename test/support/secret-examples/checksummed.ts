import { crc32 } from "node:zlib";
import { draw } from "./draw.ts";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** `prefix`, random characters, and their CRC-32 in six digits of base62. */
export function checksummed(prefix: string, length: number): string {
  const body = draw("alnum", length);
  let value = crc32(body);
  let digits = "";
  for (let i = 0; i < 6; i++) {
    digits = `${BASE62[value % 62]}${digits}`;
    value = Math.floor(value / 62);
  }
  return `${prefix}${body}${digits}`;
}

/** Another last character, so that a checksum is wrong. */
export function spoiled(secret: string): string {
  return secret.slice(0, -1) + (secret.endsWith("a") ? "b" : "a");
}
