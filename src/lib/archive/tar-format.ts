/**
 * The tar header, in both directions. Contract: a name is bytes, never text, so that what is written is what
 * was there and two programs cannot read one archive differently; whatever is not plainly well-formed is
 * refused. (That is why this is ours: the libraries decode names as UTF-8, which maps different bytes to one
 * name, and take an unknown entry type for a file.)
 *
 * Read: POSIX ustar, pax and GNU. Written: GNU, whose long names are raw bytes and which every tar reads.
 * Source: POSIX.1-2017 `pax`, section "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */

export const BLOCK_BYTES = 512;

/** Pieces of one sparse file: more than a database or a disk image has, few enough to be kept in memory. */
export const MAX_SEGMENTS = 10_000;

export type TarType =
  | "file"
  | "directory"
  | "symlink"
  | "hard-link"
  | "character-device"
  | "block-device"
  | "fifo";

export interface TarHeader {
  readonly name: Buffer;
  readonly type: TarType;
  /** Permission bits, with set-id and sticky as the archive has them. */
  readonly mode: number;
  /** Bytes that follow. Zero for everything but a file. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly uid: number;
  readonly gid: number;
  /** Target of a link, as written; empty otherwise. */
  readonly target: Buffer;
  /** Of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes by their full name. */
  readonly attributes?: ReadonlyMap<string, Buffer>;
  /** Of a sparse file: where in it the bytes that follow lie. `size` is then the file's, not theirs. */
  readonly segments?: readonly Segment[];
}

/** In order and apart; `offset` plus `length` is within the file. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
}

/** The archive itself is bad, forged or over a limit. Nothing of it is to be used. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

export const TYPE_FLAGS: Readonly<Record<TarType, string>> = {
  file: "0",
  "hard-link": "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

/** Where each field lies: offset and length. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
  // GNU's own way to say that a file is sparse: four segments here, more in blocks that follow.
  sparse: [386, 96],
  sparseContinues: [482, 1],
  sparseSize: [483, 12],
} as const satisfies Record<string, readonly [number, number]>;

/** Sum of a header's bytes, its own field taken for spaces. */
export function checksum(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const inField = at >= FIELD.checksum[0] && at < FIELD.checksum[0] + FIELD.checksum[1];
    sum += inField ? 32 : (block[at] ?? 0);
  }
  return sum;
}
