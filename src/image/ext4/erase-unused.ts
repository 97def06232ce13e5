/**
 * Makes zeros of all that a disk still holds in blocks that nobody has: what was deleted is nowhere in it afterwards,
 * whoever deleted it, and whatever a guest's kernel told its disk. (It gives back what is free *in its memory*, and not what it
 * has set aside for a file that may grow.)
 */
import { type FileHandle, open } from "node:fs/promises";
import * as z from "zod";
import { runOk } from "../../lib/processes.ts";
import { writeAll } from "./content.ts";
import { BLOCK } from "./format.ts";
import { unusedBlocks } from "./unused-blocks.ts";

/** Read and written at once. */
const ZEROS = Buffer.alloc(4 * 1024 ** 2);
/** Of a disk that lies in more pieces than half a million on its host. */
const MAX_MAP_BYTES = 64 * 1024 ** 2;
const MAP_TIMEOUT_MS = 120_000;

const mapSchema = z.array(z.looseObject({ start: z.number(), length: z.number(), zero: z.boolean() }));

interface Extent {
  readonly start: number;
  readonly end: number;
}

/**
 * @param path of a disk that nobody uses, whose file system was brought to its end.
 * @returns how many bytes of unused blocks held something. @throws Error when its file system is not as ours are.
 */
export async function eraseUnusedBlocks(path: string): Promise<number> {
  const written = await writtenExtents(path);
  const file = await open(path, "r+");
  try {
    let erased = 0;
    for await (const { first, count } of unusedBlocks(file)) {
      const [start, end] = [first * BLOCK, (first + count) * BLOCK];
      for (let i = firstBeyond(written, start); i < written.length; i++) {
        const extent = written[i];
        if (extent === undefined || extent.start >= end) break;
        erased += await erase(file, Math.max(start, extent.start), Math.min(end, extent.end));
      }
    }
    return erased;
  } finally {
    await file.close();
  }
}

/** Where the file is no hole, in order. What it holds is not looked at: it is told to be raw. */
async function writtenExtents(path: string): Promise<readonly Extent[]> {
  const { stdout } = await runOk(["qemu-img", "map", "-f", "raw", "--output=json", path], {
    maxOutputBytes: MAX_MAP_BYTES,
    timeoutMs: MAP_TIMEOUT_MS,
  });
  return mapSchema
    .parse(JSON.parse(stdout.toString()))
    .filter(({ zero }) => !zero)
    .map(({ start, length }) => ({ start, end: start + length }));
}

/** Index of the first one that ends behind `at`, by bisection. */
function firstBeyond(extents: readonly Extent[], at: number): number {
  let [low, high] = [0, extents.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((extents[middle]?.end ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

async function erase(file: FileHandle, start: number, end: number): Promise<number> {
  let erased = 0;
  for (let at = start; at < end; at += ZEROS.length) {
    const zeros = ZEROS.subarray(0, end - at);
    const held = Buffer.alloc(zeros.length);
    const { bytesRead } = await file.read(held, 0, held.length, at);
    if (bytesRead === held.length && held.equals(zeros)) continue;
    await writeAll(file, zeros, at);
    erased += zeros.length;
  }
  return erased;
}
