/** Gives a keeper its order and follows the launch. The order, with its secrets, goes over stdin (I2). */
import { type LaunchMessage, launchMessageSchema } from "../keeper/control-protocol.ts";
import type { KeeperOrder } from "../keeper/keeper.ts";
import { UserError } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { exited } from "../lib/processes.ts";
import type { KeeperChild } from "./keeper-child.ts";
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

/**
 * @throws UserError with the keeper's words when the bottle did not come up; by then nothing is left of it.
 *   Ctrl-C before that makes the keeper undo what it has done, and is waited for.
 */
export async function launchKeeper(keeper: KeeperChild, order: KeeperOrder): Promise<Launched> {
  keeper.engage();
  const { process: child } = keeper;
  const { stdin, stdout, stderr } = child;
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
    const words = keeper.complaint();
    throw new UserError(
      `the bottle's keeper ended (${how}) before the bottle was ready${words === "" ? "" : `\n${words}`}`,
      { hint: "bottle cleanup removes what it left" },
    );
  } finally {
    progress.clear();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
