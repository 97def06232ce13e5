import { isBech32 } from "../checks/bech32.ts";
import { isPrivateJwk } from "../checks/key-material.ts";
import type { Detector } from "../detector.ts";
import { LINE_BREAK, upTo } from "./patterns.ts";

/**
 * Base64 as files, JSON strings and string literals in source code wrap it: breaks (`\\n` too), indents, and the
 * quotes and plus signs of a concatenation. Bounded so that a key of 8192 bits fits, and its mask leaves nothing.
 */
const ARMOURED = String.raw`[A-Za-z0-9+/=\s"',\\]{64,7500}`;

/** The same without blanks and quotes, where no armour says what belongs together. */
const WRAPPED = String.raw`[A-Za-z0-9+/=\r\n\\]`;

/** What stands between armour and base64. */
const GAP = String.raw`(?:\\[rn]|[\s"'+,]){0,16}`;

/** The end of a member's name, and a value long enough for a key; quotes may be escaped. */
const QUOTED_KEY = String.raw`\\{0,2}"\s{0,4}:\s{0,4}\\{0,2}"[A-Za-z0-9_-]{22,1400}\\{0,2}"`;

/** The member that names a key's type. */
const KTY = String.raw`"kty\\{0,2}"\s{0,4}:\s{0,4}\\{0,2}"(?:RSA|EC|OKP|oct)\\{0,2}"`;

/** Private keys in every container they are kept in. */
export const PRIVATE_KEYS: readonly Detector[] = [
  {
    // Header lines (`Proc-Type: 4,ENCRYPTED`) of the traditional encrypted form may stand before the base64.
    id: "pem-private-key",
    title: "Private key in PEM (PKCS#1, PKCS#8, encrypted, EC, DSA, OpenSSH)",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["-----BEGIN "] },
    pattern:
      `-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY-----${GAP}` +
      `(?:(?:Proc-Type|DEK-Info): [A-Za-z0-9,-]{1,100}${GAP}){0,2}` +
      `(?<secret>${ARMOURED})(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?`,
    check: hasKeyBody,
    source: "https://datatracker.ietf.org/doc/html/rfc7468#section-10",
  },
  {
    id: "openssh-private-key",
    title: "OpenSSH private key without its armour",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["b3BlbnNzaC1rZXktdjEA"] },
    pattern: `b3BlbnNzaC1rZXktdjEA${WRAPPED}{200,7500}`,
    source: "https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key",
  },
  {
    // Each head is its structure up to the key: a version (which public keys have not), the algorithm, the string.
    id: "der-private-key",
    title: "Private key in base64 DER without armour (PKCS#8, PKCS#1, SEC 1)",
    group: "private-key",
    trigger: {
      kind: "keyword",
      keywords: [
        "IBADANBgkqhkiG9w0BAQEF", // PKCS#8, RSA
        "AgEAMBMGByqGSM49AgEG", // PKCS#8, EC on a curve whose name is long
        "AgEAMBAGByqGSM49AgEG", // PKCS#8, EC on a curve whose name is short
        "MC4CAQAwBQYDK2V", // PKCS#8, Ed25519 and X25519
        "MEcCAQAwBQYDK2V", // PKCS#8, Ed448 and X448
        "IBAAKCAQEA", // PKCS#1, 2048 bits
        "IBAAKCAYEA", // PKCS#1, 3072 bits
        "IBAAKCAgEA", // PKCS#1, 4096 bits
        "MHcCAQEEI", // SEC 1, P-256
        "MIGkAgEBBD", // SEC 1, P-384
        "MIHcAgEBBE", // SEC 1, P-521
      ],
      before: 6,
    },
    pattern:
      "(?:MII[A-Za-z0-9+/]{3}IB(?:ADANBgkqhkiG9w0BAQEF|AAKC(?:AQ|AY|Ag)EA)|MI[GH][A-Za-z0-9+/]AgEAMB[AM]GByqGSM49AgEG" +
      `|M(?:C4|Ec)CAQAwBQYDK2V[u-x]|MHcCAQEEI[A-P]|MIGkAgEBBD[A-D]|MIHcAgEBBE[I-L])${WRAPPED}{32,7500}`,
    source: "https://datatracker.ietf.org/doc/html/rfc5958#section-2",
  },
  {
    id: "pkcs12-key-store",
    title: "PKCS#12 key store in base64",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["GCSqGSIb3DQEHA"], before: 24 },
    pattern: `MI[A-Za-z0-9+/]{3,5}IBAz[A-Za-z0-9+/]{4,8}GCSqGSIb3DQEHA${WRAPPED}{400,7500}`,
    source: "https://datatracker.ietf.org/doc/html/rfc7292#section-4",
  },
  {
    id: "putty-private-key",
    title: "PuTTY private key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["Private-Lines: "] },
    pattern: `Private-Lines: \\d{1,3}(?:${LINE_BREAK}){1,4}(?<secret>${WRAPPED}{40,7500})`,
    source: "https://the.earth.li/~sgtatham/putty/0.83/htmldoc/AppendixC.html",
  },
  {
    id: "pgp-private-key",
    title: "OpenPGP private key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["-----BEGIN PGP PRIVATE"] },
    pattern:
      `-----BEGIN PGP PRIVATE KEY BLOCK-----${GAP}` +
      `(?:(?:Version|Comment|Charset|Hash|MessageID): [^\\r\\n\\\\]{0,100}(?:${LINE_BREAK}){1,4}){0,4}` +
      `(?<secret>${ARMOURED})(?:-----END PGP PRIVATE KEY BLOCK-----)?`,
    check: hasKeyBody,
    source: "https://datatracker.ietf.org/doc/html/rfc9580#section-6.2",
  },
  {
    id: "ssh2-private-key",
    title: "SSH2 encrypted private key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"] },
    pattern:
      `---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----${GAP}` +
      `(?:(?:Subject|Comment): [^\\r\\n\\\\]{0,200}(?:${LINE_BREAK}){1,4}){0,2}(?<secret>${ARMOURED})`,
    check: hasKeyBody,
    source: "https://datatracker.ietf.org/doc/html/rfc4716#section-3",
  },
  {
    id: "age-secret-key",
    title: "age secret key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["age-secret-key-1"] },
    pattern: "age-secret-key-1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}",
    ignoreCase: true,
    check: isBech32,
    source: "https://github.com/C2SP/C2SP/blob/main/age.md#the-x25519-recipient-type",
  },
  {
    id: "minisign-secret-key",
    title: "minisign or signify secret key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["RWRTY0Iy", "RWQAAEIy", "RWRCSwAAA"] },
    pattern:
      "(?<![A-Za-z0-9+/])(?:RW(?:RTY0Iy|QAAEIy)[A-Za-z0-9+/]{200,204}|RWRCSwAAA[A-Za-z0-9+/]{128,135})={0,2}",
    source: "https://jedisct1.github.io/minisign/#secret-key-format",
  },
  {
    // Members come in any order: `d` after `kty` as OpenSSL writes it, or before it as browsers do. All that
    // follows in the object goes with them, as the primes give the key away too.
    id: "jwk-private-key",
    title: "Private JSON Web Key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ['"kty', '"d"', '"d\\"', '"k"', '"k\\"'] },
    pattern:
      `(?:${KTY}${upTo('"kty', "[^{}]", 0, 2400)}"[dk]${QUOTED_KEY}` +
      `|"[dk]${QUOTED_KEY}${upTo('"[dk]\\\\{0,2}"', "[^{}]", 0, 1600)}${KTY})${upTo('"kty', "[^{}]", 0, 3000)}`,
    check: isPrivateJwk,
    source: "https://datatracker.ietf.org/doc/html/rfc7518#section-6.2.2",
  },
  {
    id: "wireguard-private-key",
    title: "WireGuard private key",
    group: "private-key",
    trigger: { kind: "keyword", keywords: ["PrivateKey", "PresharedKey"] },
    pattern: String.raw`(?:PrivateKey|PresharedKey)\s{0,4}=\s{0,4}(?<secret>[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)`,
    minEntropy: 4,
    source: "https://man7.org/linux/man-pages/man8/wg.8.html",
  },
];

/** Fewest characters of base64 in the smallest key: an Ed25519 one in PKCS#8 is 64. */
const SMALLEST_KEY = 56;

/** Whether the armour holds base64 and not an ellipsis, words, or the next line of a program. */
function hasKeyBody(body: string): boolean {
  const base64 = body.replace(/\\[rn]|[\s"',\\]/g, "");
  return (
    base64.length >= SMALLEST_KEY && new Set(base64).size >= 24 && /^[A-Za-z0-9+/]{1,8000}={0,3}/.test(base64)
  );
}
