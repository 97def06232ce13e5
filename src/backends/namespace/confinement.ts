/**
 * The kernel's own word that a guest is confined, read from the host once its init runs and before anything else
 * does (I7). Every process in it is looked at: each started the next, so none has more than it shows.
 */
import { readFileSync, readlinkSync } from "node:fs";

const CAPABILITY_SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] as const;
const NAMESPACES = ["user", "mnt", "pid", "net", "ipc", "uts"] as const;
/** In /proc/pid/status: a filter is loaded, and not the strict mode. */
const SECCOMP_FILTER = "2";

/** @throws Error naming what does not hold. `filtered`: a system-call filter was asked for. */
export function confirmConfinement(initPid: number, expected: { readonly filtered: boolean }): void {
  for (const kind of NAMESPACES) {
    if (readlinkSync(`/proc/${initPid}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`))
      throw new Error(`the guest shares the host's ${kind} namespace`);
  }
  const processes = [initPid, ...descendants(initPid)];
  for (const pid of processes) {
    const status = statusOf(pid);
    for (const set of CAPABILITY_SETS) {
      if (!/^0+$/.test(status.get(set) ?? ""))
        throw new Error(`the guest has capabilities: ${set} ${status.get(set)}`);
    }
    if (status.get("NoNewPrivs") !== "1") throw new Error("the guest may gain privileges");
  }
  // The loader of the filter may be among them; the last one is what runs under it.
  const last = processes.at(-1) ?? initPid;
  if (expected.filtered && statusOf(last).get("Seccomp") !== SECCOMP_FILTER)
    throw new Error("the guest runs without the system-call filter");
}

function statusOf(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
  return new Map(lines.map((line) => line.split(/:\s*/) as [string, string]));
}

function descendants(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  if (children === "") return [];
  return children
    .split(" ")
    .map(Number)
    .flatMap((child) => [child, ...descendants(child)]);
}
