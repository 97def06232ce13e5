/** What is done with the disk of a bottle: of one that runs as it is at one moment, by its keeper; of another under its lock. */
import { rm } from "node:fs/promises";
import { backendNamed } from "../backends/registry.ts";
import type { BottleDisks, Progress } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";
import { makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { lockBottle } from "./bottle-lock.ts";
import { openBottleLog } from "./bottle-log.ts";
import {
  type BottlePaths,
  type BottleRecord,
  bottlePaths,
  readRecord,
  writeRecord,
} from "./bottle-record.ts";
import { tryConnectKeeper } from "./control-client.ts";
import { putInto } from "./put-into.ts";
import { newBottle, type Reserved } from "./reservation.ts";

/**
 * Copies a bottle, all copies from one moment: its disk, and its record under a name of its own. What each may, and
 * what is provisioned, is decided when it is started.
 * @returns the copies' ids.
 * @throws UserError when its backend keeps no disk.
 */
export async function forkBottle(id: string, count: number): Promise<readonly string[]> {
  const paths = bottlePaths(id);
  const { plan } = await readRecord(paths);
  const disks = await disksOf(plan.backend);
  return withNewBottles(plan, count, async (copies) => {
    const why = `fork ${copies.map((copy) => copy.id).join(" ")}`;
    const copied = await copyDisk({ id, paths, disks, why }, copies);
    const { ended: _ended, work: _work, waits: _waits, ...record } = copied.record;
    for (const copy of copies) {
      const log = await openBottleLog(copy.id);
      await log.append("bottle.forked", { from: id }).finally(() => log.close());
      const at = new Date().toISOString();
      const ended = { at, exit: `forked from ${id}` };
      const forked: BottleRecord = { ...record, id: copy.id, startedAt: at, ended };
      await writeRecord(copy.paths, forked);
    }
    return { result: copies.map((copy) => copy.id), keep: true };
  });
}

/**
 * Keeps a bottle's disk as an image, from a copy of its own: the bottle goes on, or can be resumed, meanwhile.
 * @throws UserError when its backend keeps no disk, or there is an image of that name.
 */
export async function commitBottle(id: string, name: string, progress: Progress): Promise<void> {
  const paths = bottlePaths(id);
  const { plan } = await readRecord(paths);
  const disks = await disksOf(plan.backend);
  const image = `kept:${name}`;
  await withNewBottles(plan, 1, async (copies) => {
    const { wasRunning, record } = await copyDisk({ id, paths, disks, why: `commit ${image}` }, copies);
    for (const copy of copies) {
      const { runtime: runtimeDir, state: stateDir } = copy.paths;
      await makePrivateDir(runtimeDir);
      try {
        await disks.commit(
          { id: copy.id, plan, provisioned: putInto(record), stateDir, runtimeDir, name },
          progress,
        );
      } finally {
        await removeTree(runtimeDir);
      }
    }
    // Of one that runs its keeper alone writes, and has written, the log.
    if (!wasRunning) {
      const log = await openBottleLog(id);
      await log.append("bottle.committed", { image }).finally(() => log.close());
    }
    return { result: undefined, keep: false };
  });
}

/** Whoever is killed meanwhile leaves state directories without a record, which cleanup removes. */
async function withNewBottles<T>(
  plan: BottlePlan,
  count: number,
  use: (copies: readonly Reserved[]) => Promise<{ readonly result: T; readonly keep: boolean }>,
): Promise<T> {
  const copies: Reserved[] = [];
  let kept = false;
  try {
    while (copies.length < count) copies.push(await newBottle(plan.label ?? plan.agent.name));
    const { result, keep } = await use(copies);
    kept = keep;
    return result;
  } finally {
    for (const { paths, lock } of copies) {
      if (!kept) {
        await rm(paths.record, { force: true });
        await removeTree(paths.state);
      }
      await lock.release();
    }
  }
}

/** @returns the record as it is then: what it names as put in is all that the copies can have. */
async function copyDisk(
  from: {
    readonly id: string;
    readonly paths: BottlePaths;
    readonly disks: BottleDisks;
    readonly why: string;
  },
  copies: readonly Reserved[],
): Promise<{ readonly wasRunning: boolean; readonly record: BottleRecord }> {
  const { id, paths, disks, why } = from;
  const to = copies.map((copy) => copy.paths.state);
  const keeper = await tryConnectKeeper(paths, id);
  if (keeper !== undefined) {
    await keeper.ask({ op: "copy-disk", to, why });
    return { wasRunning: true, record: await readRecord(paths) };
  }
  const lock = await lockBottle(id, paths);
  try {
    for (const stateDir of to) await disks.fork(paths.state, stateDir);
    return { wasRunning: false, record: await readRecord(paths) };
  } finally {
    await lock.release();
  }
}

async function disksOf(name: string): Promise<BottleDisks> {
  const { disks } = await backendNamed(name);
  if (disks !== undefined) return disks;
  throw new UserError(`a ${name} bottle has no disk of its own to copy`, {
    hint: "micro-VMs have: bottle start --backend qemu",
  });
}
