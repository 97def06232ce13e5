/**
 * Finds compressed members in bytes, wherever they begin: at a gzip header or at a zip file's local header, not where
 * some table says. So a self-extracting file, a zip with junk before or between its members, one whose table hides
 * members, and an archive stored inside another are all opened. (tar needs nothing: it stores files as they are.)
 * A header is not believed that its data is plain: readers go by the zip's table, or pass over a version, method or flag
 * that they do not know, so whatever follows a header is tried, and the table is read for what cannot be.
 */
import { createInflateRaw, type InflateRaw } from "node:zlib";

export type MemberHead =
  /** `skip` bytes from the header's beginning lies deflated data, or, where the header does not say so, what may be some. */
  | { readonly kind: "deflated"; readonly name: string; readonly skip: number; readonly stated: boolean }
  /** Of a kind of archive that is opened, but encrypted, or compressed in another way. */
  | { readonly kind: "unreadable"; readonly name: string; readonly why: string }
  | { readonly kind: "none" }
  | { readonly kind: "more" };

export const ZIP_MARK = Buffer.from("PK\x03\x04", "latin1");
export const ZIP_TABLE_MARK = Buffer.from("PK\x01\x02", "latin1");
export const GZIP_MARK = Buffer.from("\x1f\x8b\x08", "latin1");
/** Of gzip before 1.0, and gzip still opens it. Source: GNU gzip 1.12, gzip.h, OLD_GZIP_MAGIC. */
export const OLD_GZIP_MARK = Buffer.from("\x1f\x9e\x08", "latin1");

const ZIP_HEAD_BYTES = 30;
const ZIP_TABLE_HEAD_BYTES = 46;
const DEFLATED = 8;
const STORED = 0;
const ENCRYPTED = 1;
/** Methods that the format knows. Source: APPNOTE 6.3.10, 4.4.5. */
const METHODS = new Set([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 18, 19, 20, 93, 94, 95, 96, 97, 98, 99]);
/** The format's version times ten, and the systems that it knows. Source: APPNOTE 6.3.10, 4.4.2 and 4.4.3. */
const MAX_VERSION = 99;
const MAX_SYSTEM = 30;
/** Longer names exist in no archive. More of one is not told, and a gzip header may not go on for ever. */
const MAX_NAME = 4096;
/** The offset stands in a field of its own. Source: APPNOTE 6.3.10, 4.5.3. */
const ELSEWHERE = 0xffff_ffff;

/** Reads a zip's local header, as far as it is there. Source: APPNOTE 6.3.10, 4.3.7. */
export function readZipHead(bytes: Buffer): MemberHead {
  if (bytes.length < ZIP_HEAD_BYTES) return { kind: "more" };
  const flags = bytes.readUInt16LE(6);
  const method = bytes.readUInt16LE(8);
  const nameLength = bytes.readUInt16LE(26);
  const skip = ZIP_HEAD_BYTES + nameLength + bytes.readUInt16LE(28);
  if (bytes.length < skip) return { kind: "more" };
  const name = nameAt(bytes, ZIP_HEAD_BYTES, nameLength);
  // Machine code compares with the mark, and any number follows. Of a real archive the table says the same.
  const isByChance = nameLength === 0 || bytes.readUInt8(4) > MAX_VERSION || bytes.readUInt8(5) > MAX_SYSTEM;
  const why = isByChance ? undefined : whyUnreadable(flags, method, nameLength);
  return why === undefined
    ? { kind: "deflated", name, skip, stated: method === DEFLATED }
    : { kind: "unreadable", name, why };
}

/**
 * Reads an entry of a zip's table, which is what most readers believe of a member. Source: APPNOTE 6.3.10, 4.3.12.
 * @param at where it begins; an archive's table stands behind what it tells of, and only there do readers find it.
 */
export function readZipTable(bytes: Buffer, at: number): MemberHead {
  if (bytes.length < ZIP_TABLE_HEAD_BYTES) return { kind: "more" };
  const member = bytes.readUInt32LE(42);
  if (member > at && member !== ELSEWHERE) return { kind: "none" };
  const nameLength = bytes.readUInt16LE(28);
  const why = whyUnreadable(bytes.readUInt16LE(8), bytes.readUInt16LE(10), nameLength);
  if (why === undefined) return { kind: "none" };
  return bytes.length < ZIP_TABLE_HEAD_BYTES + nameLength
    ? { kind: "more" }
    : { kind: "unreadable", name: nameAt(bytes, ZIP_TABLE_HEAD_BYTES, nameLength), why };
}

/** Programs have the marks in them, with anything behind: nobody is refused for what no archive has. */
function whyUnreadable(flags: number, method: number, nameLength: number): string | undefined {
  if (!METHODS.has(method) || nameLength > MAX_NAME) return undefined;
  if ((flags & ENCRYPTED) !== 0) return "it is encrypted";
  return method === STORED || method === DEFLATED ? undefined : `its compression is zip's ${method}`;
}

function nameAt(bytes: Buffer, at: number, length: number): string {
  return length === 0 ? "zip member" : bytes.toString("utf8", at, at + Math.min(length, MAX_NAME));
}

const GZIP_HEAD_BYTES = 10;
/** What other bits say is passed over, as Python's gzip does. */
const FLAG = { headCrc: 2, extra: 4, name: 8, comment: 16 } as const;

/** Reads a gzip member's header. Source: RFC 1952, 2.3. */
export function readGzipHead(bytes: Buffer): MemberHead {
  if (bytes.length < GZIP_HEAD_BYTES) return { kind: "more" };
  const flags = bytes.readUInt8(3);
  let at = GZIP_HEAD_BYTES;
  let name = "gzip member";
  if ((flags & FLAG.extra) !== 0) {
    if (bytes.length < at + 2) return { kind: "more" };
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const flag of [FLAG.name, FLAG.comment]) {
    if ((flags & flag) === 0) continue;
    const end = bytes.indexOf(0, at);
    // Chance puts a zero long before; who writes a longer name does not want the data behind it to be looked at.
    if ((end < 0 ? bytes.length : end) - at > MAX_NAME) {
      return { kind: "unreadable", name, why: `its header has a text of more than ${MAX_NAME} bytes` };
    }
    if (end < 0) return { kind: "more" };
    if (flag === FLAG.name && end > at) name = bytes.toString("latin1", at, end);
    at = end + 1;
  }
  if ((flags & FLAG.headCrc) !== 0) at += 2;
  return { kind: "deflated", name, skip: at, stated: true };
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
  let given = 0;
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
      const write = (resolve: (error: unknown) => void): void => void inflate.write(bytes, resolve);
      const broken = !ended && (await Promise.race([new Promise(write), reading])) instanceof Error;
      given += bytes.length;
      // What the data's end leaves over is not taken.
      if (!broken && !ended && inflate.bytesWritten === given) return true;
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
