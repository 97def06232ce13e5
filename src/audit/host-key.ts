/**
 * The host's signing key: one ed25519 pair for all bottles of one operator on one host, in
 * `audit/host-key.pem` (0600) and `audit/host-key.pub`, both PEM. It is made once and never replaced.
 * It proves that a log was sealed by this operator's keepers and not altered since by anybody who cannot
 * read the key: not by the guest, not by whoever carries or stores a copy. It proves nothing against the
 * operator's own user, whose key it is.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { draftBeside } from "../lib/draft.ts";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { makePrivateDir, writeFileAtomic } from "../lib/paths.ts";

export interface HostKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** See {@link fingerprintOf}. */
  readonly fingerprint: string;
}

/** A PEM of this key has about 120 bytes. */
const MAX_KEY_FILE_BYTES = 4096;

export function publicKeyPath(auditDir: string): string {
  return join(auditDir, "host-key.pub");
}

/** `sha256:` and the hex sha256 of the public key's DER (SubjectPublicKeyInfo); what people compare. */
export function fingerprintOf(publicKey: KeyObject): string {
  const der = publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(der).digest("hex")}`;
}

/**
 * Reads the host's key, or makes it. Two at once make one.
 * @throws UserError when the file is not ours alone, not an ed25519 key, or cannot be made.
 */
export async function hostKey(auditDir: string): Promise<HostKey> {
  await makePrivateDir(auditDir);
  const path = join(auditDir, "host-key.pem");
  const pem = (await readKeyFile(path)) ?? (await createKeyFile(path));
  const privateKey = parse(path, () => createPrivateKey(pem));
  const publicKey = createPublicKey(privateKey);
  await publish(publicKeyPath(auditDir), publicKey);
  return { privateKey, publicKey, fingerprint: fingerprintOf(publicKey) };
}

/** @throws UserError when it is missing or no ed25519 public key in PEM. */
export async function readPublicKey(path: string): Promise<KeyObject> {
  let pem: string;
  try {
    pem = await readFile(path, "utf8");
  } catch (cause) {
    throw new UserError(`cannot read the public key ${path}: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "give the host-key.pub of the host that wrote the log",
      cause,
    });
  }
  return parsePublicKey(pem, path);
}

/** @throws UserError, calling the text `name`. */
export function parsePublicKey(pem: string, name: string): KeyObject {
  return parse(name, () => createPublicKey(pem));
}

function parse(name: string, read: () => KeyObject): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = read();
  } catch {
    // Said below: the parser's own words name an OpenSSL routine.
  }
  if (key?.asymmetricKeyType !== "ed25519") {
    throw new UserError(`${name} is not an ed25519 key in PEM`, {
      hint: "put the right file back; logs that another key sealed cannot be continued without it",
    });
  }
  return key;
}

/** The file's text, or undefined when there is none. */
async function readKeyFile(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw new UserError(`cannot read the host key ${path}: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "it must be a file of yours, not a link",
      cause,
    });
  }
  try {
    const stat = await file.stat();
    const ours = process.getuid === undefined || stat.uid === process.getuid();
    if (!stat.isFile() || !ours || (stat.mode & 0o077) !== 0 || stat.size > MAX_KEY_FILE_BYTES) {
      throw new UserError(`${path} is not a file that only you can read`, {
        hint: `if nobody else can have read it: chmod 600 ${path}`,
      });
    }
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** A link appears whole or not at all, and only for the first who makes it. */
async function createKeyFile(path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const beside = await draftBeside(path);
  try {
    await writeFileAtomic(beside, privateKey.export({ type: "pkcs8", format: "pem" }));
    await link(beside, path);
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") {
      throw new UserError(`cannot make the host key ${path}: ${codeOf(cause) ?? messageOf(cause)}`, {
        hint: "set BOT_BOTTLE_HOME to a directory you can write",
        cause,
      });
    }
  } finally {
    await rm(beside, { force: true });
  }
  const pem = await readKeyFile(path);
  if (pem === undefined) throw new Error(`${path} vanished`);
  return pem;
}

async function publish(path: string, publicKey: KeyObject): Promise<void> {
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const there = await readFile(path, "utf8").catch(() => "");
  if (there !== pem) await writeFileAtomic(path, pem, 0o644);
}
