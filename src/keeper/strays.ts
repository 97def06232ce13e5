/**
 * Bottles whose state directory somebody removed: nobody can ask or stop them by it any more, and none of the other
 * commands knows them. They are found by what is still there and says itself whose it is: what a backend has under this
 * home's label, who writes a log of this home's, sockets of a bottle that has a log here.
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { earlyEvent } from "../audit/read-events.ts";
import { livingWriters, type Writer } from "../audit/writer-mark.ts";
import { ownedResources } from "../backends/owned.ts";
import type { Looking, OwnedResource } from "../contract/backend.ts";
import { BACKEND_NAMES, type BackendName } from "../contract/isolation.ts";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { isBottleId } from "../lib/names.ts";
import { homeOf, runtimeDir } from "../lib/paths.ts";
import { isProcessAlive } from "../lib/process-start.ts";
import { bottlePaths, listBottleIds } from "./bottle-record.ts";

export interface Stray {
  readonly bottle: string;
  /** It runs: who does so. */
  readonly keeper: Writer | undefined;
  /** In the order in which they can be removed. */
  readonly resources: readonly OwnedResource[];
  /** Its runtime directory. */
  readonly sockets: string | undefined;
  /** As its log says of its first launch. */
  readonly agent: string | undefined;
  readonly backend: BackendName | undefined;
  readonly startedAt: string | undefined;
}

export interface StrayLook extends Pick<Looking, "signal"> {
  /** Told when a backend cannot be asked; it fails the whole look when absent. */
  readonly onTrouble?: (words: string) => void;
}

/** A killed process takes its children with it, and the kernel a moment for that on a busy machine. */
const END_MS = 10_000;
const LOOK_AGAIN_MS = 20;

/** Those of this home. */
export async function findStrays(look: StrayLook = {}): Promise<readonly Stray[]> {
  const known = await listBottleIds();
  const first = await traces(known, look);
  // After the traces: a bottle has its state directory before it has anything else.
  const ids = await listBottleIds();
  const suspects = bottlesOf(first).filter((id) => !ids.includes(id));
  if (suspects.length === 0) return [];
  // And loses it last: of one that ended meanwhile, nothing is found once more.
  const still = await traces(known, look);
  const strays = bottlesOf(still).filter((id) => suspects.includes(id));
  return Promise.all(strays.map((bottle) => describe(bottle, still)));
}

/** Undefined when there is none of that id. */
export async function findStray(id: string): Promise<Stray | undefined> {
  return (await findStrays()).find(({ bottle }) => bottle === id);
}

/**
 * Kills a stray that runs: its keeper cannot be asked, and takes everything else with it (I9).
 * @throws UserError when it is somebody else's process, or does not end.
 */
export async function endStray({ bottle, keeper }: Stray): Promise<void> {
  if (keeper === undefined) return;
  const { pid, birth } = keeper;
  const deadline = performance.now() + END_MS;
  while (await isProcessAlive(pid, birth)) {
    if (performance.now() > deadline) throw new UserError(`process ${pid}, of ${bottle}, does not end`);
    try {
      process.kill(pid, "SIGKILL");
    } catch (cause) {
      if (codeOf(cause) === "ESRCH") return;
      throw new UserError(`process ${pid}, of ${bottle}, cannot be ended: ${messageOf(cause)}`, { cause });
    }
    await pause(LOOK_AGAIN_MS);
  }
}

interface Traces {
  readonly resources: readonly OwnedResource[];
  readonly writers: readonly Writer[];
  /** Bottles that have a folder of sockets. */
  readonly sockets: readonly string[];
}

async function traces(known: readonly string[], look: StrayLook): Promise<Traces> {
  const { signal, onTrouble } = look;
  const fail = (backend: string, error: unknown): void => {
    const why = signal?.aborted === true ? "it does not answer" : messageOf(error);
    onTrouble?.(`what ${backend} has of bottles without a state directory is not known: ${why}`);
  };
  const { audit } = homeOf();
  const [resources, writers, folders] = await Promise.all([
    ownedResources({ without: known, ...(signal && { signal }) }, onTrouble && fail),
    livingWriters(audit),
    readdir(runtimeDir()),
  ]);
  return {
    resources: resources.filter(({ ours, bottle }) => ours === true && isBottleId(bottle)),
    writers: writers.filter(({ bottle }) => isBottleId(bottle)),
    // Operators' homes may share a runtime directory; a bottle has a log in its own.
    sockets: folders.filter((name) => isBottleId(name) && existsSync(logOf(name))),
  };
}

function bottlesOf({ resources, writers, sockets }: Traces): readonly string[] {
  return [...new Set([...[...resources, ...writers].map(({ bottle }) => bottle), ...sockets])].sort();
}

async function describe(id: string, { resources, writers, sockets }: Traces): Promise<Stray> {
  const own = resources.filter(({ bottle }) => bottle === id);
  const launching = await earlyEvent(logOf(id), "bottle.launching").catch(() => undefined);
  const { agent, backend } = launching?.data ?? {};
  return {
    bottle: id,
    keeper: writers.find(({ bottle }) => bottle === id),
    resources: own,
    sockets: sockets.includes(id) ? bottlePaths(id).runtime : undefined,
    agent: typeof agent === "string" ? agent : undefined,
    backend: own[0]?.backend ?? BACKEND_NAMES.find((name) => name === backend),
    startedAt: launching?.time,
  };
}

function logOf(id: string): string {
  return join(homeOf().audit, `${id}.jsonl`);
}
