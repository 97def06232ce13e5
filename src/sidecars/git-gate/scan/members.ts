/**
 * Finds compressed members in bytes, wherever they begin: at a gzip header or at a zip file's local header, not where
 * some table says. So a self-extracting file, a zip with junk before or between its members, one whose table hides
 * members, and an archive stored inside another are all opened. (tar needs nothing: it stores files as they are.)
 */
import { createInflateRaw, type InflateRaw } from "node:zlib";

export type MemberHead =
  /** `skip` bytes from the header's beginning lies deflated data. */
  | { readonly kind: "deflated"; readonly name: string; readonly skip: number }
  /** Of a kind of archive that is opened, but encrypted, or compressed in another way. */
  | { readonly kind: "unreadable"; readonly name: string; readonly why: string }
  | { readonly kind: "none" }
  | { readonly kind: "more" };

export const ZIP_MARK = Buffer.from("PK\x03\x04", "latin1");
export const GZIP_MARK = Buffer.from("\x1f\x8b\x08", "latin1");

const ZIP_HEAD_BYTES = 30;
const DEFLATED = 8;
const STORED = 0;
/** Methods that the format knows. Anything else is no header, but bytes that look like one. Source: APPNOTE 6.3.10, 4.4.5. */
const METHODS = new Set([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 18, 19, 20, 93, 94, 95, 96, 97, 98, 99]);
const MAX_ZIP_VERSION = 99;
/** Longer names exist in no archive; longer fields would let one header hold megabytes. */
const MAX_NAME = 4096;

/** Reads a zip's local header, as far as it is there. Source: APPNOTE 6.3.10, 4.3.7. */
export function readZipHead(bytes: Buffer): MemberHead {
  if (bytes.length < ZIP_HEAD_BYTES) return { kind: "more" };
  const version = bytes.readUInt8(4);
  const flags = bytes.readUInt16LE(6);
  const method = bytes.readUInt16LE(8);
  const nameLength = bytes.readUInt16LE(26);
  const extraLength = bytes.readUInt16LE(28);
  if (version > MAX_ZIP_VERSION || !METHODS.has(method) || nameLength === 0 || nameLength > MAX_NAME) {
    return { kind: "none" };
  }
  const skip = ZIP_HEAD_BYTES + nameLength + extraLength;
  if (bytes.length < skip) return { kind: "more" };
  const name = bytes.toString("utf8", ZIP_HEAD_BYTES, ZIP_HEAD_BYTES + nameLength);
  if ((flags & 1) !== 0) return { kind: "unreadable", name, why: "it is encrypted" };
  if (method === DEFLATED) return { kind: "deflated", name, skip };
  // Stored members are read as the archive itself is.
  return method === STORED
    ? { kind: "none" }
    : { kind: "unreadable", name, why: `its compression is zip's ${method}` };
}

const GZIP_HEAD_BYTES = 10;
const FLAG = { headCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;

/** Reads a gzip member's header. Source: RFC 1952, 2.3. */
export function readGzipHead(bytes: Buffer): MemberHead {
  if (bytes.length < GZIP_HEAD_BYTES) return { kind: "more" };
  const flags = bytes.readUInt8(3);
  if ((flags & FLAG.reserved) !== 0) return { kind: "none" };
  let at = GZIP_HEAD_BYTES;
  let name = "";
  if ((flags & FLAG.extra) !== 0) {
    if (bytes.length < at + 2) return { kind: "more" };
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const flag of [FLAG.name, FLAG.comment]) {
    if ((flags & flag) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) return bytes.length - at > MAX_NAME ? { kind: "none" } : { kind: "more" };
    if (flag === FLAG.name) name = bytes.toString("latin1", at, end);
    at = end + 1;
  }
  if ((flags & FLAG.headCrc) !== 0) at += 2;
  return { kind: "deflated", name: name === "" ? "gzip member" : name, skip: at };
}

export interface Inflation {
  /** False once the deflated data has ended, or is none. */
  push(bytes: Buffer): Promise<boolean>;
  /** No more bytes come. */
  end(): Promise<void>;
}

/** Inflates what comes; `out` is waited for, so nothing piles up. */
export function inflateMember(
  out: (bytes: Buffer) => Promise<boolean>,
  done: () => Promise<void>,
): Inflation {
  const inflate: InflateRaw = createInflateRaw();
  let ended = false;
  const reading = (async () => {
    try {
      for await (const bytes of inflate) if (!(await out(bytes as Buffer))) break;
    } catch {
      // Broken data: what came before it has been looked at, and what follows is looked at as it stands.
    }
    ended = true;
    inflate.destroy();
    await done();
  })();
  return {
    async push(bytes) {
      if (!ended) {
        await Promise.race([new Promise<void>((resolve) => inflate.write(bytes, () => resolve())), reading]);
      }
      if (!ended) return true;
      // Whoever is told that it is over asks no more: what lies in it must have been looked at by then.
      await reading;
      return false;
    },
    async end() {
      if (!ended) inflate.end();
      await reading;
    },
  };
}

/** Compressed formats that are not opened, by how they begin. */
const OTHERS: readonly (readonly [string, Buffer])[] = [
  ["xz", Buffer.from("\xfd7zXZ\0", "latin1")],
  ["bzip2", Buffer.from("BZh", "latin1")],
  ["zstd", Buffer.from("\x28\xb5\x2f\xfd", "latin1")],
  ["7z", Buffer.from("7z\xbc\xaf\x27\x1c", "latin1")],
  ["rar", Buffer.from("Rar!\x1a\x07", "latin1")],
  ["lz4", Buffer.from("\x04\x22\x4d\x18", "latin1")],
  ["compress", Buffer.from("\x1f\x9d", "latin1")],
  ["lzip", Buffer.from("LZIP", "latin1")],
];

/** The name of the format, when a text begins as one of those does. */
export function unopenedFormat(start: Buffer): string | undefined {
  return OTHERS.find(([, mark]) => start.subarray(0, mark.length).equals(mark))?.[0];
}
