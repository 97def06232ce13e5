/** What is done with the disk of a bottle that does not run, under its lock. */
import { mkdir, rm } from "node:fs/promises";
import { backendNamed } from "../backends/registry.ts";
import type { BottleDisks, Progress } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { lockBottle } from "./bottle-lock.ts";
import { openBottleLog } from "./bottle-log.ts";
import { type BottleRecord, bottlePaths, readRecord, writeRecord } from "./bottle-record.ts";
import { newBottle } from "./reservation.ts";

/**
 * Copies a stopped bottle: its disk, and its record under a name of its own. What it may, and what is provisioned, is
 * decided when the copy is started.
 * @returns the copy's id.
 * @throws UserError when it runs, or its backend keeps no disk.
 */
export async function forkBottle(id: string): Promise<string> {
  const paths = bottlePaths(id);
  const lock = await lockBottle(id, paths);
  try {
    const { ended: _ended, work: _work, waits: _waits, ...record } = await readRecord(paths);
    const disks = disksOf(record.plan.backend);
    const copy = await newBottle(record.plan.label ?? record.plan.agent.name);
    try {
      await disks.fork(paths.state, copy.paths.state);
      const at = new Date().toISOString();
      const forked: BottleRecord = {
        ...record,
        id: copy.id,
        startedAt: at,
        ended: { at, exit: `forked from ${id}` },
      };
      const log = await openBottleLog(copy.id, () => {});
      await log.append("bottle.forked", { from: id }).finally(() => log.close());
      await writeRecord(copy.paths, forked);
      return copy.id;
    } catch (error) {
      await rm(copy.paths.record, { force: true });
      await removeTree(copy.paths.state);
      throw error;
    } finally {
      await copy.lock.release();
    }
  } finally {
    await lock.release();
  }
}

/** @throws UserError when it runs, its backend keeps no disk, or there is an image of that name. */
export async function commitBottle(id: string, name: string, progress: Progress): Promise<void> {
  const paths = bottlePaths(id);
  const lock = await lockBottle(id, paths);
  try {
    const { plan } = await readRecord(paths);
    const disks = disksOf(plan.backend);
    await mkdir(paths.runtime, { recursive: true, mode: 0o700 });
    try {
      await disks.commit({ id, plan, stateDir: paths.state, runtimeDir: paths.runtime, name }, progress);
    } finally {
      await removeTree(paths.runtime);
    }
    const log = await openBottleLog(id, () => {});
    await log.append("bottle.committed", { image: `kept:${name}` }).finally(() => log.close());
  } finally {
    await lock.release();
  }
}

function disksOf(name: string): BottleDisks {
  const { disks } = backendNamed(name);
  if (disks !== undefined) return disks;
  throw new UserError(`a ${name} bottle has no disk of its own to copy`, {
    hint: "micro-VMs have: bottle start --backend qemu",
  });
}
