/**
 * How many connections the process has descriptors for. Where accepting uses up the last one, nothing can be dialled any
 * more and no name looked up: a guest that holds many connections would have shut everybody out.
 */
import { readFileSync } from "node:fs";
import type { Limits } from "../limits.ts";

/** The program itself, its listeners, and lookups in progress. */
const RESERVED = 64;
/** However few there are. */
const FEWEST = 16;

/** Most files that this process may have open at once; node has raised it to what it may. */
export function openFiles(): number {
  try {
    const text = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files +(\d+)/m.exec(text)?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    // Not Linux: node itself has asked for more than egress ever opens.
    return Number.POSITIVE_INFINITY;
  }
}

/** Each may hold an upstream's socket before it has asked for anything, in a tunnel that is passed through. */
export function connectionsFor(files: number, limits: Pick<Limits, "exchanges" | "pooledSockets">): number {
  return Math.max(FEWEST, Math.floor((files - RESERVED - limits.exchanges - limits.pooledSockets) / 2));
}
