import type { ChildProcess } from "node:child_process";

/**
 * What may be sent a signal. 0 and -1 stand for the tests' own process group and for everybody, and "none was found"
 * must not become either.
 */
export function realPid(pid: number | undefined): number {
  if (pid === undefined || !(pid > 1)) throw new Error(`there is no process to signal (${pid})`);
  return pid;
}

/** Of a program that was started. */
export function pidOf({ pid }: Pick<ChildProcess, "pid">): number {
  return realPid(pid);
}
