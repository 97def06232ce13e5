/**
 * The events of a log, for showing them. Whether the log is as it was written is `verify`'s to say: here a line that is
 * not one of ours is counted and left out.
 */
import { open } from "node:fs/promises";
import { type Entry, parseLine } from "./entry.ts";
import { readRawLines } from "./log-lines.ts";

export interface LoggedEvents {
  readonly entries: readonly Entry[];
  /** Lines that are no entry, or do not have their hash. */
  readonly damaged: number;
}

/** Those that `wanted` picks by name, oldest first. @throws what opening the file throws */
export async function readEvents(path: string, wanted: (event: string) => boolean): Promise<LoggedEvents> {
  const entries: Entry[] = [];
  const damaged = await eachEvent(path, (entry) => {
    if (wanted(entry.event)) entries.push(entry);
  });
  return { entries, damaged };
}

/** Each event, oldest first. @returns the number of damaged lines. @throws what opening the file throws */
export async function eachEvent(path: string, take: (entry: Entry) => void): Promise<number> {
  const file = await open(path);
  try {
    let damaged = 0;
    for await (const { bytes, terminated } of readRawLines(file, (await file.stat()).size)) {
      // Being written at this moment.
      if (!terminated) continue;
      const line = bytes === undefined ? undefined : parseLine(bytes);
      if (line?.kind !== "entry" || !line.hashIsRight) damaged++;
      else take(line.entry);
    }
    return damaged;
  } finally {
    await file.close();
  }
}
