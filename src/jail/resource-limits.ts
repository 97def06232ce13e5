/**
 * Limits on a jail that need no cgroup. Of processes: RLIMIT_NPROC. Since Linux 5.14 (getrlimit(2)) a user namespace
 * counts its own; before, it would count whatever the same host uid runs, and so hold back the operator. Of open files:
 * RLIMIT_NOFILE, of each process. It bounds besides how many descriptors may lie in Unix sockets, unreceived, which the kernel
 * counts by host uid: an ordinary operator's own programs can send none while a guest's are more than *their* limit (unix(7), ETOOMANYREFS).
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";

const SINCE = [5, 14] as const;

/** The kernel's own default of the hard limit, so that what cannot live with it says so. Source: include/uapi/linux/fs.h, INR_OPEN_MAX. */
export const OPEN_FILES = 4096;

export function countsProcesses(kernel: string = release()): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  return major > SINCE[0] || (major === SINCE[0] && minor >= SINCE[1]);
}

/** `wanted`, or what this process itself may not go beyond: raising a hard limit takes a privilege. */
export function hardLimit(
  of: "processes" | "open files",
  wanted: number,
  limits: string = readFileSync("/proc/self/limits", "utf8"),
): number {
  const [, hard] = new RegExp(`^Max ${of}\\s+\\S+\\s+(\\d+)\\s`, "m").exec(limits) ?? [];
  return hard === undefined ? wanted : Math.min(wanted, Number(hard));
}
