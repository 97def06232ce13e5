/**
 * SSH keys of the operator's and ours. A key's text goes from here to git-gate's stdin and nowhere else (I2): what is
 * thrown names the file and quotes nothing of it.
 */
import { randomBytes } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { makeEd25519Pair } from "../lib/ed25519.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { ownUid } from "../lib/paths.ts";

/** The largest RSA key in use is a quarter of it. */
const MAX_KEY_BYTES = 64 * 1024;
const OTHERS_MAY_READ = 0o077;

/** @throws UserError when it is not there, not a private key, not only the operator's to read, or has a passphrase. */
export async function readPrivateKey(path: string): Promise<string> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new UserError(`cannot read the key ${path}: ${codeOf(cause) ?? String(cause)}`, {
      hint: "name another key in the bottle's git-gate.repos, or put this one back",
      cause,
    });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > MAX_KEY_BYTES) throw new UserError(`${path} is no private key`);
    if (stat.uid !== ownUid() && stat.uid !== 0) {
      throw new UserError(`the key ${path} belongs to another user (uid ${stat.uid})`);
    }
    if ((stat.mode & OTHERS_MAY_READ) !== 0) {
      throw new UserError(`the key ${path} can be read by others (mode ${(stat.mode & 0o777).toString(8)})`, {
        hint: `chmod 600 ${path}`,
      });
    }
    return usableKey(await file.readFile("utf8"), path);
  } finally {
    await file.close();
  }
}

const PEM = /-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\r?\n([\s\S]*?)-----END \1PRIVATE KEY-----/;

function usableKey(text: string, path: string): string {
  const pem = PEM.exec(text);
  if (pem === null) {
    const isPublic = /^(ssh|ecdsa|sk)-/.test(text.trimStart());
    throw new UserError(
      `${path} is no private key${isPublic ? ", but a public one" : ""}`,
      isPublic ? { hint: `name the file without .pub` } : {},
    );
  }
  const [, kind = "", body = ""] = pem;
  if (kind === "ENCRYPTED " || /^Proc-Type: 4,ENCRYPTED/m.test(body) || isEncryptedOpenSsh(kind, body)) {
    throw new UserError(`the key ${path} has a passphrase, and there is nobody to ask when it is needed`, {
      hint: `load it with ssh-add ${path}, and write key: agent`,
    });
  }
  return text;
}

const OPENSSH_MAGIC = "openssh-key-v1\0";

/** The cipher's name stands right after the magic; PROTOCOL.key of OpenSSH. */
function isEncryptedOpenSsh(kind: string, body: string): boolean {
  if (kind !== "OPENSSH ") return false;
  const bytes = Buffer.from(body.replace(/\s/g, ""), "base64");
  const at = OPENSSH_MAGIC.length;
  if (bytes.length < at + 4) return false;
  return bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at)).toString("latin1") !== "none";
}

export interface SshKeyPair {
  /** Secret: in OpenSSH's own form, which every ssh reads. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  readonly publicKey: string;
}

const TYPE = "ssh-ed25519";
/** The cipher's block size, when there is no cipher. */
const BLOCK = 8;

/** A new ed25519 pair, in memory only. */
export function makeSshKeyPair(): SshKeyPair {
  const { seed, point } = makeEd25519Pair();
  const publicBlob = Buffer.concat([field(TYPE), field(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([
    ...[check, check, publicBlob],
    field(Buffer.concat([seed, point])),
    field(""),
  ]);
  const padding = Buffer.from(
    Array.from({ length: (BLOCK - (secret.length % BLOCK)) % BLOCK }, (_, i) => i + 1),
  );
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = Buffer.concat([
    Buffer.from(OPENSSH_MAGIC, "latin1"),
    ...[field("none"), field("none"), field(""), one],
    field(publicBlob),
    field(Buffer.concat([secret, padding])),
  ]);
  const lines = whole.toString("base64").match(/.{1,70}/g) ?? [];
  const [begin, end] = ["BEGIN", "END"].map((word) => `-----${word} OPENSSH PRIVATE KEY-----`);
  return {
    privateKey: `${begin}\n${lines.join("\n")}\n${end}\n`,
    publicKey: `${TYPE} ${publicBlob.toString("base64")}`,
  };
}

/** As ssh writes a string: its length, then its bytes. */
function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
