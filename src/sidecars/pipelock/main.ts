/**
 * The sidecar around a pipelock: what it is told becomes pipelock's configuration, and a change restarts pipelock alone,
 * because it refuses to be loosened while it runs. When pipelock ends, so does this: the keeper starts both again, and
 * until then nothing leaves (I7).
 */
import { isDeepStrictEqual } from "node:util";
import { type PipelockConfig, pipelockConfigSchema, pipelockPolicySchema } from "../../contract/pipelock.ts";
import { type Keeper, runSidecar, type Serving } from "../../lib/sidecar-program.ts";
import { type RunningPipelock, runPipelock } from "./program.ts";

export function runPipelockSidecar(): Promise<void> {
  return runSidecar({
    name: "pipelock",
    config: pipelockConfigSchema,
    roles: () => [],
    start: startPipelock,
  });
}

async function startPipelock(config: PipelockConfig, { emit }: Pick<Keeper, "emit">): Promise<Serving> {
  let { policy } = config;
  let wanted = true;
  const watched = async (): Promise<RunningPipelock> => {
    const started = await runPipelock(config, policy);
    void started.ended.then((reason) => {
      if (!wanted) return;
      emit({ type: "log", level: "error", text: reason });
      process.exit(1);
    });
    return started;
  };
  let running = await watched();
  return {
    listening: [`127.0.0.1:${config.port}`],
    async reload(next) {
      const told = pipelockPolicySchema.parse(next);
      if (isDeepStrictEqual(told, policy)) return;
      policy = told;
      wanted = false;
      await running.stop();
      wanted = true;
      running = await watched();
    },
    async drain() {
      wanted = false;
      await running.stop();
    },
    stop() {
      wanted = false;
      running.kill();
    },
  };
}
