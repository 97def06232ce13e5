/**
 * What a bottle leaves behind when everything that would have undone it was killed (I9). Every bottle has a state
 * directory before it has anything else, and loses it last: so leftovers are looked for by the names of those that
 * nobody holds the lock of. One whose state directory somebody removed all the same is a stray (strays.ts). What belongs
 * to another home on this host is that home's. Running bottles, kept work and logs are never among it.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { sweepWriterMarks } from "../audit/writer-mark.ts";
import { ownedResources } from "../backends/owned.ts";
import { allBackends, backendNamed } from "../backends/registry.ts";
import type { OwnedResource } from "../contract/backend.ts";
import { sweepDrafts } from "../lib/draft.ts";
import { messageOf } from "../lib/errors.ts";
import { tryLock } from "../lib/lock-file.ts";
import { namesIn } from "../lib/on-disk.ts";
import { homeOf } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { isInUse, lockBottle } from "./bottle-lock.ts";
import {
  type BottlePaths,
  type BottleRecord,
  bottlePaths,
  findRecord,
  listBottleIds,
  writeRecord,
} from "./bottle-record.ts";
import { removeLeftDeployKeys } from "./deploy-keys.ts";
import { endStray, findStray, findStrays, type Stray } from "./strays.ts";

export type Leftover =
  | OwnedResource
  | {
      readonly backend: null;
      readonly bottle: string;
      /**
       * - `sockets`: the runtime directory
       * - `unfinished`: a state directory in which no agent ever ran, or that was about to be removed
       * - `deploy-key`: one that may still push, at a forge; removed with the token in the environment
       * - `crashed`: the parts of a state directory that only a running bottle needs; the workspace stays
       */
      readonly kind: "sockets" | "deploy-key" | "unfinished" | "crashed";
      readonly name: string;
    };

/** In a state directory: what only a running bottle needs. Dotted are files that were being written, and scratch. */
const TRANSIENT =
  /^(?:root|(?:egress|git-gate|supervise|pipelock)-root|git-gate|token|keeper\.lock(?:\..*)?|\..*)$/;

/** Of bottles that nobody runs, launches or works on. */
export async function findLeftovers(): Promise<readonly Leftover[]> {
  const resources = await ownedResources();
  const ids = await listBottleIds();
  const found = await Promise.all(
    ids.map(async (id) => {
      const paths = bottlePaths(id);
      return (await isInUse(paths)) ? [] : leftoversOf(id, paths, resources);
    }),
  );
  return [...found.flat(), ...(await findStrays()).flatMap(leftoversOfStray)];
}

/**
 * Removes what `id` left, found anew under its lock: it may have been resumed since somebody looked. A bottle that
 * is in use is left alone.
 */
export async function removeLeftovers(id: string): Promise<void> {
  const paths = bottlePaths(id);
  if (!existsSync(paths.state)) return removeWhatStrayLeft(id);
  const lock = await tryLock(paths.lock).catch((error: unknown) => {
    // Another cleanup was faster.
    if (!existsSync(paths.state)) return undefined;
    throw error;
  });
  if (lock === undefined || !("release" in lock)) return;
  try {
    for (const leftover of await leftoversOf(id, paths, await ownedResources()))
      await remove(leftover, paths);
  } finally {
    await lock.release();
  }
}

/** What a cleanup may take of it: of one that runs, nothing. */
function leftoversOfStray({ bottle, keeper, resources, sockets }: Stray): readonly Leftover[] {
  if (keeper !== undefined) return [];
  const folders = sockets === undefined ? [] : [sockets];
  return [
    ...resources,
    ...folders.map((name) => ({ backend: null, bottle, kind: "sockets", name }) as const),
  ];
}

/** Nobody can begin anew under that name, so there is nothing to lock. */
async function removeWhatStrayLeft(id: string): Promise<void> {
  const stray = await findStray(id);
  for (const leftover of stray === undefined ? [] : leftoversOfStray(stray))
    await remove(leftover, bottlePaths(id));
}

/** What is no bottle's: marks beside the logs, of writers that were killed, what they were writing, and what killed backends were at. */
export async function sweepCommon(): Promise<void> {
  const { root, bottles, audit } = homeOf();
  await sweepWriterMarks(audit);
  for (const folder of [root, bottles, audit]) await sweepDrafts(folder);
  for (const backend of await allBackends()) await backend.sweep?.();
}

/** What is left of it; the bottle itself, if it runs. @throws UserError when it does not end. */
export async function removeStray(stray: Stray): Promise<void> {
  await endStray(stray);
  await removeWhatStrayLeft(stray.bottle);
}

/**
 * Everything of one bottle but its log.
 * @param force also when a deploy key of it may still push, and cannot be removed.
 * @returns what is left elsewhere.
 * @throws UserError when it runs, or there is no such bottle.
 */
export async function removeBottle(id: string, force: boolean): Promise<readonly string[]> {
  const paths = bottlePaths(id);
  const lock = await lockBottle(id, paths);
  const left: string[] = [];
  try {
    await removeLeftDeployKeys(id, paths.deployKeys, (name) => process.env[name]).catch((error: unknown) => {
      if (!force) throw error;
      left.push(messageOf(error));
    });
    for (const resource of await ownedResources()) if (resource.bottle === id) await removeResource(resource);
    await removeTree(paths.runtime);
    // Without it nobody resumes what is half removed; the lock goes with the directory.
    await rm(paths.record, { force: true });
    await removeTree(paths.state);
    await sweepCommon();
    return left;
  } finally {
    await lock.release();
  }
}

/** The state directory's comes last: while there is anything else, it has to be found. */
async function leftoversOf(
  id: string,
  paths: BottlePaths,
  resources: readonly OwnedResource[],
): Promise<readonly Leftover[]> {
  const kind = await stateOf(paths);
  const found: Leftover[] = resources.filter(
    (resource) => resource.bottle === id && (resource.kind !== "disk" || kind === "unfinished"),
  );
  if (existsSync(paths.runtime))
    found.push({ backend: null, bottle: id, kind: "sockets", name: paths.runtime });
  if (existsSync(paths.deployKeys))
    found.push({ backend: null, bottle: id, kind: "deploy-key", name: paths.deployKeys });
  if (kind !== undefined) found.push({ backend: null, bottle: id, kind, name: paths.state });
  return found;
}

async function stateOf(paths: BottlePaths): Promise<"unfinished" | "crashed" | undefined> {
  let record: BottleRecord | undefined;
  try {
    record = await findRecord(paths);
  } catch {
    // Damaged, or of a later version: what is in there may be work.
    return undefined;
  }
  if (record === undefined) return "unfinished";
  if (record.ended === undefined || (await transientIn(paths)).length > 0) return "crashed";
  return isToBeRemoved(record) ? "unfinished" : undefined;
}

/** It ended well and without work, and only its removal was cut short. */
function isToBeRemoved({ ended, work, waits = [] }: BottleRecord): boolean {
  return ended?.exit === "exit 0" && work === "none" && waits.length === 0;
}

async function transientIn(paths: BottlePaths): Promise<readonly string[]> {
  return (await namesIn(paths.state)).filter((name) => TRANSIENT.test(name));
}

async function remove(leftover: Leftover, paths: BottlePaths): Promise<void> {
  if (leftover.backend !== null) return removeResource(leftover);
  switch (leftover.kind) {
    case "sockets":
    case "unfinished":
      await removeTree(leftover.name);
      return;
    case "deploy-key":
      await removeLeftDeployKeys(leftover.bottle, leftover.name, (name) => process.env[name]);
      return;
    case "crashed": {
      for (const name of await transientIn(paths)) {
        // Ours, until it is given back.
        if (!name.startsWith("keeper.lock")) await removeTree(join(paths.state, name));
      }
      const record = await findRecord(paths);
      if (record === undefined || record.ended !== undefined) return;
      await writeRecord(paths, { ...record, ended: { at: new Date().toISOString(), exit: "crashed" } });
      return;
    }
  }
}

async function removeResource(resource: OwnedResource): Promise<void> {
  await (await backendNamed(resource.backend)).remove(resource);
}
