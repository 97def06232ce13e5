/** A log's raw lines, one at a time. A line without end costs no memory: past the bound it is only measured. */
import type { FileHandle } from "node:fs/promises";
import { MAX_LINE_BYTES } from "./entry.ts";

export interface RawLine {
  /** Without its newline; undefined when it is longer than any line of ours. */
  readonly bytes: Buffer | undefined;
  /** Length with its newline. */
  readonly length: number;
  /** False for a last line without a newline. */
  readonly terminated: boolean;
}

const NEWLINE = 10;
const READ_BYTES = 256 * 1024;

/** Reads the first `size` bytes and no more: a log that grows meanwhile would never end. */
export async function* readRawLines(file: FileHandle, size: number): AsyncGenerator<RawLine, void, void> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (part: Buffer): void => {
    length += part.length;
    if (length > MAX_LINE_BYTES) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  const finish = (terminated: boolean): RawLine => {
    const end = terminated ? 1 : 0;
    const bytes = length + end > MAX_LINE_BYTES ? undefined : Buffer.concat(parts);
    const line = { bytes, length: length + end, terminated };
    parts = [];
    length = 0;
    return line;
  };
  for (let position = 0; position < size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, size - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    let start = 0;
    const filled = chunk.subarray(0, bytesRead);
    for (let end = filled.indexOf(NEWLINE); end >= 0; end = filled.indexOf(NEWLINE, start)) {
      take(filled.subarray(start, end));
      yield finish(true);
      start = end + 1;
    }
    take(filled.subarray(start));
  }
  if (length > 0) yield finish(false);
}
