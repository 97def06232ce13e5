/**
 * Step 1 of a launch: the bottle's id, its directories, its lock, its log. The state directory is made before
 * everything else and removed after it, under the bottle's lock: so whatever a killed keeper leaves behind is
 * found by it, and nobody takes a bottle that is being launched for one that was left.
 */
import { mkdir, rm, statfs } from "node:fs/promises";
import type { AuditLog } from "../audit/log.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { type Lock, tryLock } from "../lib/lock-file.ts";
import { newBottleId } from "../lib/names.ts";
import { homeOf, makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { lockBottle } from "./bottle-lock.ts";
import { type LogTrouble, openBottleLog } from "./bottle-log.ts";
import {
  type BottlePaths,
  type BottleRecord,
  bottlePaths,
  newToken,
  readRecord,
  writeRecord,
} from "./bottle-record.ts";
import { withAttempt } from "./put-into.ts";

/** Room for the state of a bottle and a small workspace; less means that something will be half written. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;
/** A clash of five random characters is one in sixty million; twenty in a row is a bug. */
const ID_ATTEMPTS = 20;

export interface Reservation {
  readonly id: string;
  readonly paths: BottlePaths;
  readonly log: AuditLog;
  /** Of the bottle's earlier life, when it is resumed. */
  readonly earlier: BottleRecord | undefined;
  /**
   * What the scope's end leaves of the state directory. Until it is told, the launch is undone: a new bottle's
   * is removed, since nothing is in it yet that anybody could miss; a resumed one is as it was.
   */
  decide(fate: "kept" | "removed"): void;
  /** Of a resumed bottle: before anything is put into its guest that its record does not name. */
  attempt(plan: BottlePlan): Promise<void>;
  /** Whether the scope's end, were it now, left the guest's disk. */
  keepsDisk(): boolean;
}

/**
 * @param resume the bottle to continue, instead of a new one.
 * @throws UserError when the disk is full, read-only or not ours, or the bottle is running.
 */
export async function reserveBottle(
  request: {
    readonly nameOrLabel: string;
    readonly resume: string | undefined;
    readonly logTrouble: LogTrouble;
  },
  scope: Scope,
): Promise<Reservation> {
  const home = homeOf();
  await makePrivateDir(home.state);
  await makePrivateDir(home.audit);
  await refuseFullDisk(home.root);
  const { id, paths, lock } =
    request.resume === undefined ? await newBottle(request.nameOrLabel) : await keptBottle(request.resume);
  let earlier: BottleRecord | undefined;
  let fate: "undone" | "kept" | "removed" = "undone";
  scope.defer("bottle lock", () => lock.release());
  scope.defer("state directory", async (hasFailed) => {
    if (fate === "kept") return;
    // I9: what could not be undone (its engine was gone, say) is looked for by the names in here.
    if (hasFailed && request.resume === undefined) return;
    if (fate === "removed" || request.resume === undefined) await removeTree(paths.state);
    else if (earlier !== undefined) await writeRecord(paths, earlier);
  });
  // Under the lock: until it was ours, somebody else may have changed or removed it.
  if (request.resume !== undefined) earlier = await readRecord(paths);
  scope.defer("runtime directory", () => removeTree(paths.runtime));
  await makePrivateDir(paths.runtime);
  scope.defer("token", () => rm(paths.token, { force: true }));
  await newToken(paths);
  const log = await openBottleLog(id, request.logTrouble);
  scope.defer("log", () => log.close());
  return {
    id,
    paths,
    log,
    earlier,
    decide(decided) {
      fate = decided;
    },
    async attempt(plan) {
      if (earlier === undefined) return;
      const record = withAttempt(earlier, plan);
      if (record === earlier) return;
      earlier = record;
      await writeRecord(paths, record);
    },
    keepsDisk: () => fate === "kept" || (fate === "undone" && request.resume !== undefined),
  };
}

/** A state directory that is this process's alone. */
export interface Reserved {
  readonly id: string;
  readonly paths: BottlePaths;
  readonly lock: Lock;
}

async function keptBottle(id: string): Promise<Reserved> {
  const paths = bottlePaths(id);
  return { id, paths, lock: await lockBottle(id, paths) };
}

/** mkdir is atomic: of two starts at once, each gets a directory of its own. */
export async function newBottle(nameOrLabel: string): Promise<Reserved> {
  for (let attempt = 0; attempt < ID_ATTEMPTS; attempt++) {
    const id = newBottleId(nameOrLabel);
    const paths = bottlePaths(id);
    if (!(await isMade(paths.state))) continue;
    const lock = await lockNew(paths);
    if (lock !== undefined) return { id, paths, lock };
  }
  throw new Error("no free bottle id");
}

async function isMade(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    throw new UserError(`cannot create ${path}: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "set BOT_BOTTLE_HOME to a directory you can write",
      cause,
    });
  }
}

/** Undefined when a cleanup saw the directory before its lock, and took it for a leftover: it is gone, or will be. */
async function lockNew(paths: BottlePaths): Promise<Lock | undefined> {
  try {
    const outcome = await tryLock(paths.lock);
    return "release" in outcome ? outcome : undefined;
  } catch (error) {
    if (error instanceof UserError && codeOf(error.cause) === "ENOENT") return undefined;
    await removeTree(paths.state);
    throw error;
  }
}

/** Bytes that may still be written below `root`. */
export async function roomIn(root: string): Promise<number> {
  const { bavail, bsize } = await statfs(root);
  return bavail * bsize;
}

async function refuseFullDisk(root: string): Promise<void> {
  const free = await roomIn(root);
  if (free >= MIN_FREE_BYTES) return;
  throw new UserError(
    `${root} has ${Math.floor(free / 1024 / 1024)} MiB free; a bottle needs at least ${MIN_FREE_BYTES / 1024 / 1024}`,
    { hint: "free some space, or set BOT_BOTTLE_HOME to a directory on another disk" },
  );
}
