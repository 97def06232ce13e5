/**
 * A limit on a jail's processes that needs no cgroup: RLIMIT_NPROC. Since Linux 5.14 (getrlimit(2)) a user namespace
 * counts its own; before, it would count whatever the same host uid runs, and so hold back the operator.
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";

const SINCE = [5, 14] as const;

export function countsProcesses(kernel: string = release()): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  return major > SINCE[0] || (major === SINCE[0] && minor >= SINCE[1]);
}

/** `wanted`, or what this process itself may not go beyond: raising a hard limit takes a privilege. */
export function processLimit(
  wanted: number,
  limits: string = readFileSync("/proc/self/limits", "utf8"),
): number {
  const [, hard] = /^Max processes\s+\S+\s+(\d+)\s/m.exec(limits) ?? [];
  return hard === undefined ? wanted : Math.min(wanted, Number(hard));
}
