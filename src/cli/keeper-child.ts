/**
 * The keeper's process, started before it is known what it will keep: it loads while the plan is made and shown.
 * Until it has its order it has nothing, so whoever decides otherwise ends it on the spot.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { packagePath } from "../lib/package-root.ts";
import { exited } from "../lib/processes.ts";

export interface KeeperChild {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** What it said on stderr last, or why it could not be started. */
  complaint(): string;
  /** Its order is on the way: from now on it ends by itself, after it has undone what it did. */
  engage(): void;
  /** Ends one that has no order yet. */
  dismiss(): Promise<void>;
}

const STDERR_TAIL_CHARACTERS = 4_000;
/** A keeper has every secret of its bottle in memory, and its core dump would have them on the disk (I2). */
const WITHOUT_CORE_DUMPS = 'ulimit -c 0; exec "$@"';
/**
 * What node reads as it starts, and whose bottles it keeps. The rest travels in the order, because a process's first environment can be
 * read for as long as it lives, and secrets may be in the operator's (I2).
 */
const AT_START = ["PATH", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "BOT_BOTTLE_HOME"];

export function spawnKeeper(): KeeperChild {
  const env = Object.fromEntries(AT_START.map((name) => [name, process.env[name]]));
  const child = spawn(
    "sh",
    ["-c", WITHOUT_CORE_DUMPS, "keeper", process.execPath, packagePath("dist/bottle.js"), "keeper"],
    { cwd: "/", env, detached: true, stdio: ["pipe", "pipe", "pipe"] },
  );
  let tail = "";
  let engaged = false;
  child.stdin.on("error", () => {});
  child.once("error", (error) => {
    tail = error.message;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  return {
    process: child,
    complaint: () => tail.trimEnd(),
    engage() {
      engaged = true;
    },
    async dismiss() {
      if (engaged) return;
      child.kill("SIGKILL");
      await exited(child);
    },
  };
}
