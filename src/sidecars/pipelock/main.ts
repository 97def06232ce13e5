/**
 * The sidecar around a pipelock: what it is told becomes pipelock's configuration, and a change is another pipelock,
 * because it refuses to be loosened while it runs. Where the change only allows more, what is in progress goes on through
 * the one before; else that ends first. When pipelock ends by itself, so does this: the keeper starts both again, and until
 * then nothing leaves (I7).
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type PipelockConfig,
  type PipelockPolicy,
  pipelockConfigSchema,
  pipelockPolicySchema,
} from "../../contract/pipelock.ts";
import { type Keeper, runSidecar, type Serving } from "../../lib/sidecar-program.ts";
import { openFront } from "./front.ts";
import { type RunningPipelock, runPipelock } from "./program.ts";

/** For what is in progress when something was allowed besides: a large download, a long answer. */
const DRAIN_MS = 10 * 60_000;

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
  let count = 0;
  /** Those whose end would be a mishap. */
  const wanted = new Set<RunningPipelock>();
  const front = await openFront(config.port);
  const started = async (): Promise<RunningPipelock> => {
    const folder = join(config.folder, String(++count));
    const made = await runPipelock(config, folder, policy);
    wanted.add(made);
    void made.ended.then(async (reason) => {
      await rm(folder, { recursive: true, force: true });
      if (!wanted.has(made)) return;
      emit({ type: "log", level: "error", text: reason });
      process.exit(1);
    });
    front.lead(made.port);
    return made;
  };
  let running = await started();
  /** One besides it at most: what an agent asks for must not fill the memory with them. */
  let before: RunningPipelock | undefined;
  const end = async (pipelock: RunningPipelock | undefined): Promise<void> => {
    if (pipelock === undefined) return;
    wanted.delete(pipelock);
    await pipelock.stop();
  };
  return {
    listening: [`127.0.0.1:${config.port}`],
    async reload(next) {
      const told = pipelockPolicySchema.parse(next);
      if (isDeepStrictEqual(told, policy)) return;
      const former = running;
      const only = loosened(policy, told);
      policy = told;
      await end(before);
      // What was taken back must not go on through one that still allows it.
      if (!only) await end(former);
      running = await started();
      before = only ? former : undefined;
      // Nobody is led there any more: its end is no mishap.
      wanted.delete(former);
      if (only) void front.left(former.port, DRAIN_MS).then(() => end(former));
    },
    async drain() {
      front.close();
      await Promise.all([end(running), end(before)]);
    },
    stop() {
      front.close();
      for (const each of [running, before]) {
        if (each !== undefined) wanted.delete(each);
        each?.kill();
      }
    },
  };
}

/** Whether all that `policy` lets through is let through by `next` too, and in the same way. */
function loosened(policy: PipelockPolicy, next: PipelockPolicy): boolean {
  const holds = (name: "hosts" | "addresses" | "credentialHeaders"): boolean =>
    policy[name].every((each) => next[name].includes(each));
  return (
    holds("hosts") &&
    holds("addresses") &&
    holds("credentialHeaders") &&
    policy.hosts.every((host) => policy.sealed.includes(host) === next.sealed.includes(host))
  );
}
