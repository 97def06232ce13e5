/** What a process has open. */
import { readdirSync } from "node:fs";

/** The lowest number that it has free: with that for its limit it can open nothing, and keeps what it has. */
export function freeDescriptor(pid: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (taken.has(free)) free += 1;
  return free;
}
