/** OIDs of the keys that PKCS#8 carries in practice, as the DER of their contents. */
const KEY_ALGORITHMS: readonly string[] = [
  "2a864886f70d010101", // rsaEncryption
  "2a864886f70d01010a", // RSASSA-PSS
  "2a8648ce3d0201", // id-ecPublicKey
  "2a8648ce380401", // id-dsa
  "2b656e", // X25519
  "2b656f", // X448
  "2b6570", // Ed25519
  "2b6571", // Ed448
];

/** All that is looked at stands in the first 40 bytes. */
const HEAD = 80;

/**
 * Whether `base64` begins a DER private key without its PEM armour: PKCS#8 (RFC 5958: a version, an
 * algorithm, an octet string), PKCS#1 (RFC 8017: version 0 and large integers) or SEC 1 (RFC 5915). Public
 * keys and certificates begin with a nested sequence instead of a version, so they never pass.
 */
export function isDerPrivateKey(base64: string): boolean {
  const head = base64.slice(0, HEAD).replace(/\\[rn]/g, "");
  const der = Buffer.from(head, "base64");
  const outer = element(der, 0);
  if (outer?.tag !== 0x30) return false;
  const version = element(der, outer.start);
  if (version?.tag !== 0x02 || version.length !== 1) return false;
  const value = der[version.start];
  const next = element(der, version.start + 1);
  if (next === undefined) return false;
  if (next.tag === 0x30 && (value === 0 || value === 1)) return isPkcs8(der, next.start);
  if (next.tag === 0x02 && value === 0) return next.length >= 64;
  return next.tag === 0x04 && value === 1 && [28, 32, 48, 66].includes(next.length);
}

function isPkcs8(der: Buffer, algorithm: number): boolean {
  const oid = element(der, algorithm);
  if (oid?.tag !== 0x06) return false;
  return KEY_ALGORITHMS.includes(der.toString("hex", oid.start, oid.start + oid.length));
}

/** Tag and extent of the DER element at `offset`; its contents may run past the end of `der`. */
function element(der: Buffer, offset: number): { tag: number; start: number; length: number } | undefined {
  const tag = der[offset];
  const first = der[offset + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return { tag, start: offset + 2, length: first };
  const width = first & 0x7f;
  if (width === 0 || width > 3 || der.length < offset + 2 + width) return undefined;
  return { tag, start: offset + 2 + width, length: der.readUIntBE(offset + 2, width) };
}
