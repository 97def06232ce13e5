/**
 * Who a guest is, made for one life and told to it alone: its host key, by which the link knows that it talks to this
 * guest and no other; the secret that opens its command server; fresh random numbers. All
 * of it stays in the memory of the keeper and of the guest.
 */
import { randomBytes } from "node:crypto";
import { GUEST } from "../../contract/backend.ts";
import { makeEd25519Pair } from "../../lib/ed25519.ts";

/** What the guest hears, as one JSON line, with the time. */
export interface GuestIdentity {
  readonly hostname: string;
  readonly seed: string;
  readonly hostKey: string;
  readonly secret: string;
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number; readonly home: string };
  /** Files that lie over the image's: never written to its disk. */
  readonly etc: Readonly<Record<string, string>>;
  /** Places for the folders `0`, `1`… of the second disk, which is read-only. */
  readonly mounts: readonly string[];
}

/** What the keeper knows it by. */
export interface GuestKeys {
  /** As a server presents it. */
  readonly hostKey: Buffer;
  readonly secret: string;
}

const SEED_BYTES = 64;
const SECRET_BYTES = 32;

export function newNonce(): string {
  return randomBytes(16).toString("hex");
}

/** Now, as clock_settime(2) takes it. */
export function hostTime(): readonly [seconds: number, nanoseconds: number] {
  const now = Date.now();
  return [Math.floor(now / 1000), (now % 1000) * 1_000_000];
}

export function makeIdentity(about: {
  readonly hostname: string;
  readonly etc: Readonly<Record<string, string>>;
  readonly mounts: readonly string[];
}): { readonly identity: GuestIdentity; readonly keys: GuestKeys } {
  const { seed, point } = makeEd25519Pair();
  const secret = randomBytes(SECRET_BYTES).toString("hex");
  return {
    identity: {
      seed: randomBytes(SEED_BYTES).toString("hex"),
      hostKey: dropbearKey(Buffer.concat([seed, point])).toString("hex"),
      secret,
      user: { name: GUEST.user, uid: GUEST.uid, gid: GUEST.gid, home: GUEST.home },
      ...about,
    },
    keys: { hostKey: publicBlob(point), secret },
  };
}

const KEY_TYPE = "ssh-ed25519";

/** RFC 8709, section 4. */
function publicBlob(point: Buffer): Buffer {
  return Buffer.concat([sshString(Buffer.from(KEY_TYPE)), sshString(point)]);
}

/** What `dropbearkey` writes: the type, and both halves of the key in one string. */
function dropbearKey(bothHalves: Buffer): Buffer {
  return Buffer.concat([sshString(Buffer.from(KEY_TYPE)), sshString(bothHalves)]);
}

function sshString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
