import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { draw } from "./draw.ts";
import { known, type SecretExample } from "./example.ts";

// Keys made by OpenSSL on each run: their forms are nobody's guess.
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });
const secp256k1 = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
const ed25519 = generateKeyPairSync("ed25519");
const x25519 = generateKeyPairSync("x25519");

const rsaPkcs1 = rsa.privateKey.export({ type: "pkcs1", format: "pem" }).toString();
const encrypted = { cipher: "aes-256-cbc", passphrase: draw("alnum", 12) };

/** Of the key as it is read again: see makeEd25519Pair for what one that was generated may do. */
function jwkOf(key: KeyObject): JsonWebKey {
  const again =
    key.type === "private"
      ? createPrivateKey(key.export({ type: "pkcs8", format: "pem" }))
      : createPublicKey(key.export({ type: "spki", format: "pem" }));
  return again.export({ format: "jwk" });
}

/** Base64 in lines of `width`. */
function wrapped(bytes: Buffer, width: number): string {
  return bytes
    .toString("base64")
    .replace(new RegExp(`.{${width}}`, "g"), "$&\n")
    .trimEnd();
}

const pems = [
  rsaPkcs1,
  rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  rsa.privateKey.export({ type: "pkcs8", format: "pem", ...encrypted }).toString(),
  rsa.privateKey.export({ type: "pkcs1", format: "pem", ...encrypted }).toString(),
  ec.privateKey.export({ type: "sec1", format: "pem" }).toString(),
  ec.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  ed25519.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  `-----BEGIN OPENSSH PRIVATE KEY-----\n${openSsh()}\n-----END OPENSSH PRIVATE KEY-----\n`,
  `-----BEGIN DSA PRIVATE KEY-----\n${wrapped(randomBytes(450), 64)}\n-----END DSA PRIVATE KEY-----\n`,
];

function openSsh(): string {
  return wrapped(
    Buffer.concat([Buffer.from("openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none"), randomBytes(300)]),
    70,
  );
}

const publicPem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
const agePrefix = ["AGE", "SECRET", "KEY"].join("-");

export const PRIVATE_KEY_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "pem-private-key": {
    page: "https://datatracker.ietf.org/doc/html/rfc7468#section-10",
    secrets: pems,
    carriers: [
      (pem) => pem,
      (pem) => JSON.stringify({ key: pem }),
      (pem) =>
        `const key =\n${pem
          .trimEnd()
          .split("\n")
          .map((line) => `  "${line}\\n"`)
          .join(" +\n")};\n`,
      (pem) => `key: |\n${pem.replace(/^/gm, "    ")}\n`,
    ],
    nearMisses: [
      publicPem,
      "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
      'if (text.includes("-----BEGIN PRIVATE KEY-----")) throw new Error("that is a private key, do not paste it here");',
      `-----BEGIN CERTIFICATE-----\n${wrapped(randomBytes(800), 64)}\n-----END CERTIFICATE-----\n`,
      `-----BEGIN RSA PRIVATE KEY-----\n${"x".repeat(64)}\n${"x".repeat(64)}\n-----END RSA PRIVATE KEY-----\n`,
    ],
  },
  "openssh-private-key": known(
    "https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key",
    [openSsh(), openSsh().replaceAll("\n", "")],
    [
      `b3BlbnNzaC1rZXktdjEA${draw("base64", 40)}`,
      `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${draw("base64", 43)}`,
    ],
  ),
  "der-private-key": known(
    "https://datatracker.ietf.org/doc/html/rfc8410#section-10.3",
    [
      // The RFC's own key, then OpenSSL's.
      ["MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp", "K06/nwoy/HU++CXqI9EdVhC"].join("+"),
      ...[rsa, ec, p384, p521, secp256k1, ed25519, x25519].map(({ privateKey }) =>
        privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
      ),
      rsa.privateKey.export({ type: "pkcs1", format: "der" }).toString("base64"),
      ...[ec, p384, p521].map(({ privateKey }) =>
        privateKey.export({ type: "sec1", format: "der" }).toString("base64"),
      ),
      wrapped(rsa.privateKey.export({ type: "pkcs8", format: "der" }), 64),
    ],
    [
      rsa.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      rsa.publicKey.export({ type: "pkcs1", format: "der" }).toString("base64"),
      ec.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      `MIIEvQIBADANBgkqhkiG9w0BAQEF${draw("base64", 4)}`,
    ],
  ),
  "pkcs12-key-store": known(
    "https://datatracker.ietf.org/doc/html/rfc7292#section-4",
    [
      Buffer.concat([
        Buffer.from("30820a3f020103308209f506092a864886f70d010701a08209e6048209e2", "hex"),
        randomBytes(900),
      ])
        .toString("base64")
        .replace(/=$/, ""),
    ],
    [
      `MIIK${draw("base64", 600)}`,
      Buffer.from("308203e006092a864886f70d010702a08203d1", "hex").toString("base64") + draw("base64", 600),
    ],
  ),
  "putty-private-key": {
    page: "https://the.earth.li/~sgtatham/putty/0.83/htmldoc/AppendixC.html",
    secrets: [wrapped(randomBytes(240), 64)],
    carriers: [
      (secret) =>
        `PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 2\nAAAA\nBBBB\nPrivate-Lines: 5\n${secret}\nPrivate-MAC: 00\n`,
    ],
    nearMisses: [
      "Private-Lines: 1\nnone\n",
      "PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 2\nAAAA\nBBBB\n",
    ],
  },
  "pgp-private-key": {
    page: "https://datatracker.ietf.org/doc/html/rfc9580#section-6.2.1",
    secrets: [
      `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${wrapped(randomBytes(700), 64)}\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----\n`,
      `-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\nComment: mine, and long\n\n${wrapped(randomBytes(700), 64)}\n-----END PGP PRIVATE KEY BLOCK-----\n`,
    ],
    carriers: [(secret) => secret, (secret) => JSON.stringify({ secret })],
    nearMisses: [
      `-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n${wrapped(randomBytes(700), 64)}\n-----END PGP PUBLIC KEY BLOCK-----\n`,
      "-----BEGIN PGP PRIVATE KEY BLOCK-----\n(elided)\n-----END PGP PRIVATE KEY BLOCK-----\n",
      `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${"x".repeat(64)}\n${"x".repeat(64)}\n-----END PGP PRIVATE KEY BLOCK-----\n`,
    ],
  },
  "ssh2-private-key": {
    page: "https://datatracker.ietf.org/doc/html/rfc4716",
    secrets: [
      `---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nSubject: me\nComment: "2048-bit rsa"\n${wrapped(randomBytes(500), 70)}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n`,
    ],
    carriers: [(secret) => secret],
    nearMisses: [
      `---- BEGIN SSH2 PUBLIC KEY ----\n${wrapped(randomBytes(500), 70)}\n---- END SSH2 PUBLIC KEY ----\n`,
      "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n\n",
      `---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n${"x".repeat(70)}\n${"x".repeat(70)}\n`,
    ],
  },
  "age-secret-key": known(
    "https://github.com/FiloSottile/age/blob/main/testdata/example_keys.txt",
    [[agePrefix, "1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"].join("-")],
    [
      [agePrefix, "1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEQ"].join("-"),
      [agePrefix, `1${"Q".repeat(58)}`].join("-"),
      "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ],
  ),
  "minisign-secret-key": known(
    "https://jedisct1.github.io/minisign/#secret-key-format",
    [Buffer.concat([Buffer.from("EdScB2"), randomBytes(152)]).toString("base64")],
    [
      Buffer.concat([Buffer.from("Ed"), randomBytes(40)]).toString("base64"),
      "untrusted comment: minisign encrypted secret key",
    ],
  ),
  "jwk-private-key": {
    page: "https://datatracker.ietf.org/doc/html/rfc7517#appendix-A.2",
    // From the first telling member to the end of the object, in OpenSSL's order and in that of browsers.
    secrets: [rsa, ec, ed25519]
      .flatMap(({ privateKey }) => {
        const jwk = Object.entries(jwkOf(privateKey));
        const sorted = [...jwk].sort(([a], [b]) => (a < b ? -1 : 1));
        return [jwk, sorted].map((members) => {
          const json = JSON.stringify(Object.fromEntries(members));
          return json.slice(json.search(/"(?:kty|d)"/), -1);
        });
      })
      .concat(`"kty":"oct","k":"${draw("url", 43)}","alg":"HS256"`),
    carriers: [(secret) => `{${secret}}`, (secret) => JSON.stringify({ keys: `[{${secret}}]` })],
    nearMisses: [rsa, ec, ed25519]
      .map(({ publicKey }) => JSON.stringify({ keys: [jwkOf(publicKey)] }))
      .concat(
        JSON.stringify({ kty: "EC", crv: "P-256", d: "not a key" }),
        JSON.stringify({ d: draw("url", 43), k: draw("url", 43) }),
        JSON.stringify({ kty: "EC", crv: "P-256", d: "A".repeat(43) }),
      ),
  },
  "wireguard-private-key": {
    page: "https://www.wireguard.com/quickstart/",
    secrets: [randomBytes(32).toString("base64").replace(/.=$/, "A=")],
    carriers: [(secret) => `[Interface]\nPrivateKey = ${secret}\nAddress = 10.0.0.1/24\n`],
    nearMisses: [
      `PublicKey = ${randomBytes(32).toString("base64")}`,
      `PrivateKey = ${"A".repeat(43)}=`,
      "PrivateKey = <your key>",
    ],
  },
};
