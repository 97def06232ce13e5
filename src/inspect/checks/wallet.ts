import { base58checkPayload } from "./base58check.ts";

/** Version bytes of private keys in BIP-32 and SLIP-132: x, y, z, t, u and v. */
const PRIVATE_VERSIONS: readonly number[] = [
  0x0488ade4, 0x049d7878, 0x04b2430c, 0x04358394, 0x044a4e28, 0x045f18bc,
];

/** Version, depth, parent, index, chain code, and the key after a zero byte. */
const EXTENDED_LENGTH = 78;

/** Whether base58check holds a BIP-32 node with a private key. */
export function isExtendedPrivateKey(text: string): boolean {
  const payload = base58checkPayload(text);
  return (
    payload?.length === EXTENDED_LENGTH &&
    PRIVATE_VERSIONS.includes(payload.readUInt32BE(0)) &&
    payload[45] === 0
  );
}

/** Whether base58check holds a WIF key: main or test net, 32 bytes, and 01 behind them when compressed. */
export function isWif(text: string): boolean {
  const payload = base58checkPayload(text);
  if (payload === undefined || ![0x80, 0xef].includes(payload[0] ?? 0)) return false;
  return payload.length === 33 || (payload.length === 34 && payload[33] === 1);
}
