import { crc32 } from "node:zlib";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Width of a base62 CRC-32: 62^6 is the first power over 2^32. */
const CHECKSUM_LENGTH = 6;

/**
 * Whether the last six characters of `token` are the CRC-32 of what stands between its first underscore and
 * them, in base62: the form GitHub and npm share. Tells a real token from any other 30 characters.
 * https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
 */
export function endsInBase62Crc32(token: string): boolean {
  const start = token.indexOf("_") + 1;
  const payload = token.slice(start, -CHECKSUM_LENGTH);
  return start > 0 && payload.length > 0 && base62(crc32(payload)) === token.slice(-CHECKSUM_LENGTH);
}

/** `value` in base62, digits before capitals before small letters, padded to six. */
function base62(value: number): string {
  let digits = "";
  for (let rest = value; rest > 0; rest = Math.floor(rest / 62))
    digits = `${BASE62[rest % 62] ?? ""}${digits}`;
  return digits.padStart(CHECKSUM_LENGTH, "0");
}

/**
 * Whether the last eight digits of `token` are the CRC-32 of all before the underscore in front of them,
 * little-endian in hexadecimal, as Grafana writes it.
 */
export function endsInHexCrc32(token: string): boolean {
  const [, body = "", checksum = ""] = /^(.{1,100})_([0-9a-f]{8})$/.exec(token) ?? [];
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc32(body));
  return body !== "" && bytes.toString("hex") === checksum;
}
