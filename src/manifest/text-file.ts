/**
 * Reads one manifest file. A repository's file is hostile and a home folder can hold anything, so: never
 * more than the limit is read, never a device or a pipe is waited for, never half-decoded text is parsed.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { codeOf, messageOf } from "../lib/errors.ts";

/** A prompt of a megabyte is no prompt; it would not fit any agent's argument or context either. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** A place in a text: line and column from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export type ReadResult =
  | { readonly ok: true; readonly text: string; readonly contentHash: string; readonly stat: Stats }
  | { readonly ok: false; readonly place: Place; readonly message: string };

export const START: Place = { line: 1, column: 1 };

/** `contentHash` is the sha256 (hex) of the bytes. A byte order mark is dropped from `text`. */
export function readTextFile(path: string, most: number = MAX_FILE_BYTES): ReadResult {
  let fd: number;
  try {
    // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    return refused(openingFailed(error));
  }
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) return refused("is a directory, not a file");
    if (!stat.isFile()) return refused("is not a regular file");
    if (stat.size > most) return refused(tooLarge(stat.size, most));
    const bytes = readUpTo(fd, most + 1);
    if (bytes.length > most) return refused(tooLarge(bytes.length, most));
    return decoded(bytes, stat);
  } catch (error) {
    return refused(`cannot be read: ${codeOf(error) ?? messageOf(error)}`);
  } finally {
    closeSync(fd);
  }
}

function refused(message: string, place: Place = START): ReadResult {
  return { ok: false, place, message };
}

function openingFailed(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "does not exist, or is a link to something that does not";
    case "EACCES":
      return "cannot be read: permission denied; make it readable with chmod u+r";
    case "ELOOP":
      return "is a link that leads to itself";
    case "ENXIO":
      return "is not a regular file";
    default:
      return `cannot be read: ${codeOf(error) ?? messageOf(error)}`;
  }
}

function tooLarge(size: number, most: number): string {
  return `is larger than ${most / 1024} KiB (${size} bytes or more); shorten it`;
}

function readUpTo(fd: number, limit: number): Buffer {
  const buffer = Buffer.alloc(limit);
  let length = 0;
  while (length < limit) {
    const read = readSync(fd, buffer, length, limit - length, null);
    if (read === 0) break;
    length += read;
  }
  return buffer.subarray(0, length);
}

// Tab, line feed and carriage return are text. Any other control character can only be an accident, or a
// prompt that shows less than it says.
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

function decoded(bytes: Buffer, stat: Stats): ReadResult {
  if (!isUtf8(bytes)) return refused("is not UTF-8 text; save it as UTF-8", firstBadByte(bytes));
  const text = bytes.toString("utf8").replace(/^\ufeff/, "");
  const control = CONTROL.exec(text);
  if (control !== null) {
    const code = (text.charCodeAt(control.index) || 0).toString(16).padStart(4, "0").toUpperCase();
    return refused(`contains the control character U+${code}; remove it`, placeOf(text, control.index));
  }
  const contentHash = createHash("sha256").update(bytes).digest("hex");
  return { ok: true, text, contentHash, stat };
}

/** No byte of a longer UTF-8 sequence is a line feed: a text is UTF-8 exactly if each of its lines is. */
function firstBadByte(bytes: Buffer): Place {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const feed = bytes.indexOf(10, start);
    const end = feed < 0 ? bytes.length : feed;
    const row = bytes.subarray(start, end);
    if (!isUtf8(row)) return { line, column: validPrefix(row) + 1 };
    start = end + 1;
  }
  return START;
}

/** UTF-16 length of the text before the first byte that cannot be decoded. */
function validPrefix(row: Buffer): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let length = 0;
  try {
    for (let i = 0; i < row.length; i++) {
      length += decoder.decode(row.subarray(i, i + 1), { stream: true }).length;
    }
  } catch {
    return length;
  }
  return length;
}

/** Line and column of an offset in `text`. */
export function placeOf(text: string, offset: number): Place {
  let line = 1;
  let start = 0;
  for (let feed = text.indexOf("\n"); feed >= 0 && feed < offset; feed = text.indexOf("\n", start)) {
    line++;
    start = feed + 1;
  }
  return { line, column: offset - start + 1 };
}
