/**
 * A machine's processors, stopped and let go on: they are threads of the VMM, which is one process of the operator's. Its
 * memory stays as it is, and whoever asks something of the guest meanwhile waits.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Guest } from "../../contract/backend.ts";
import { codeOf } from "../../lib/errors.ts";

/** A thread that waits for a disk stops when that has answered. */
const STOP_TIMEOUT_MS = 5_000;
const LOOK_AGAIN_MS = 5;

/** @param vmm its pid, asked for anew; rejects for one that is not the machine's. */
export function createFreezer(vmm: () => Promise<number>): Required<Guest>["freezer"] {
  let stopped: number | undefined;
  return {
    async freeze() {
      const pid = stopped ?? (await vmm());
      process.kill(pid, "SIGSTOP");
      stopped = pid;
      const deadline = performance.now() + STOP_TIMEOUT_MS;
      while (process.platform === "linux" && !isStopped(pid)) {
        if (performance.now() > deadline) throw new Error(`the machine's process ${pid} does not stop`);
        await pause(LOOK_AGAIN_MS);
      }
    },
    async thaw() {
      const pid = stopped;
      stopped = undefined;
      if (pid === undefined) return;
      try {
        process.kill(pid, "SIGCONT");
      } catch (error) {
        // It has ended meanwhile, and there is nothing to go on.
        if (codeOf(error) !== "ESRCH") throw error;
      }
    },
  };
}

function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return /^[TtZX]$/.test(stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "X");
  } catch {
    return true;
  }
}
