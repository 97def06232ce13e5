/** Starts a bottle's keeper and follows its launch. The order, with its secrets, goes over stdin (I2). */
import { spawn } from "node:child_process";
import { type LaunchMessage, launchMessageSchema } from "../keeper/control-protocol.ts";
import type { KeeperOrder } from "../keeper/keeper.ts";
import { UserError } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { packagePath } from "../lib/package-root.ts";
import { exited } from "../lib/processes.ts";
import { progressLine } from "./output.ts";

export interface Launched {
  readonly id: string;
  /** SHA-256 of the bottle's CA certificate. */
  readonly fingerprint: string;
  /** Lets the keeper live on without this process. Call it once the agent runs. */
  release(): void;
  /** Nobody will join: waits until the keeper has undone everything. */
  abandon(): Promise<void>;
}

const STDERR_TAIL_CHARACTERS = 4_000;
/** A keeper has every secret of its bottle in memory, and its core dump would have them on the disk (I2). */
const WITHOUT_CORE_DUMPS = 'ulimit -c 0; exec "$@"';

/**
 * @throws UserError with the keeper's words when the bottle did not come up; by then nothing is left of it.
 *   Ctrl-C before that makes the keeper undo what it has done, and is waited for.
 */
export async function launchKeeper(order: KeeperOrder, withheld: Iterable<string>): Promise<Launched> {
  const env = { ...process.env };
  // They are in the order already, and a process's environment can be read for as long as it lives.
  for (const name of withheld) delete env[name];
  const child = spawn(
    "sh",
    ["-c", WITHOUT_CORE_DUMPS, "keeper", process.execPath, packagePath("dist/bottle.js"), "keeper"],
    {
      cwd: "/",
      env,
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  const { stdin, stdout, stderr } = child;
  stdin.on("error", () => {});
  let tail = "";
  child.once("error", (error) => {
    tail = error.message;
  });
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  // Letting go of the keeper's stdin is how it learns that nobody waits any more.
  const interrupt = (): void => void stdin.end();
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const progress = progressLine();
  try {
    await writeJsonLine(stdin, order);
    for await (const line of readJsonLines(stdout)) {
      const message: LaunchMessage = launchMessageSchema.parse(line);
      if ("progress" in message) progress.show(message.progress);
      if ("failed" in message) {
        const { message: text, hint, exitCode } = message.failed;
        await exited(child);
        throw new UserError(text, { exitCode, ...(hint !== undefined && { hint }) });
      }
      if ("ready" in message) {
        return {
          ...message.ready,
          release: () => {
            stdin.end();
            stdout.destroy();
            stderr.destroy();
            child.unref();
          },
          abandon: async () => {
            stdin.end();
            await exited(child);
          },
        };
      }
    }
    await exited(child);
    const how = child.signalCode ?? `exit ${child.exitCode}`;
    throw new UserError(
      `the bottle's keeper ended (${how}) before the bottle was ready${tail === "" ? "" : `\n${tail.trimEnd()}`}`,
      { hint: "bottle cleanup removes what it left" },
    );
  } finally {
    progress.clear();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
