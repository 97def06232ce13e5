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

/** What a launch says first of all has room in it, whatever else it says. */
const BEGINNING_BYTES = 256 * 1024;

/** The first of that name among the first lines. @throws what opening the file throws */
export async function earlyEvent(path: string, event: string): Promise<Entry | undefined> {
  const file = await open(path);
  try {
    const bytes = Math.min((await file.stat()).size, BEGINNING_BYTES);
    for await (const line of readRawLines(file, bytes)) {
      const parsed = line.terminated && line.bytes !== undefined ? parseLine(line.bytes) : undefined;
      if (parsed?.kind === "entry" && parsed.entry.event === event) return parsed.entry;
    }
    return undefined;
  } finally {
    await file.close();
  }
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
