/**
 * What is on disk about a bottle, so that any later command finds it: `state/<id>/bottle.json` (no secret in
 * it), the keeper's socket and its token. Nothing here is remembered anywhere else.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import * as z from "zod";
import type { BottlePlan } from "../contract/plan.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { didYouMean, isBottleId } from "../lib/names.ts";
import { namesIn } from "../lib/on-disk.ts";
import { checkSocketPath, type Home, homeOf, runtimeDir, writeFileAtomic } from "../lib/paths.ts";

export interface BottlePaths {
  readonly state: string;
  readonly record: string;
  readonly token: string;
  readonly agentLog: string;
  readonly work: string;
  readonly runtime: string;
  readonly socket: string;
  readonly lock: string;
  /** Deploy keys that may still be at a forge; absent when there are none. */
  readonly deployKeys: string;
  readonly findingsKey: string;
}

export function bottlePaths(id: string, home: Home = homeOf()): BottlePaths {
  if (!isBottleId(id))
    throw new UserError(`${JSON.stringify(id)} is not the id of a bottle`, { hint: "bottle list" });
  const state = join(home.state, id);
  const runtime = join(runtimeDir(), id);
  return {
    state,
    record: join(state, "bottle.json"),
    token: join(state, "token"),
    agentLog: join(state, "agent.log"),
    work: join(state, "work.git"),
    runtime,
    socket: checkSocketPath(join(runtime, "control.sock")),
    lock: join(state, "keeper.lock"),
    deployKeys: join(state, "deploy-keys.json"),
    findingsKey: join(state, "findings-key"),
  };
}

const recordSchema = z.looseObject({
  version: z.literal(1),
  id: z.string(),
  startedAt: z.string(),
  /** How the last run ended; absent while it runs, and after a keeper that was killed. */
  ended: z.looseObject({ at: z.string(), exit: z.string() }).optional(),
  /** Whether the operator has what the agent did: nothing to have, still in `work.git`, or fetched. */
  work: z.enum(["none", "exported", "pulled"]).optional(),
  /** What the agent asked of its environment and was not given, in words: for `bottle resume --with`. */
  waits: z.array(z.string()).optional(),
  /** The starting state of the workspace, as provisioning recorded it. */
  base: z.unknown().optional(),
  plan: z.custom<BottlePlan>((value) => typeof value === "object" && value !== null),
  /** Of launches that never got as far as a record of their own: what else they may have put into the guest, by path. */
  attempted: z.array(z.string()).optional(),
});
export type BottleRecord = z.infer<typeof recordSchema>;

export function writeRecord(paths: BottlePaths, record: BottleRecord): Promise<void> {
  return writeFileAtomic(paths.record, `${JSON.stringify(record, null, 2)}\n`);
}

/** @throws UserError when there is no such bottle (with the nearest name), or its record is damaged. */
export async function readRecord(paths: BottlePaths): Promise<BottleRecord> {
  const record = await findRecord(paths);
  if (record !== undefined) return record;
  const id = basename(paths.state);
  const ids = await listBottleIds();
  if (ids.includes(id)) {
    throw new UserError(`bottle ${id} is not ready: it is being launched, or its launch was cut short`, {
      hint: "bottle list says which; bottle cleanup removes what a launch left",
    });
  }
  throw noSuchBottle(id, ids);
}

/** @param ids of the bottles there are. */
export function noSuchBottle(id: string, ids: readonly string[]): UserError {
  const guess = didYouMean(id, ids);
  return new UserError(`there is no bottle ${id}${guess === undefined ? "" : `; did you mean ${guess}?`}`, {
    hint: "bottle list",
  });
}

/** Undefined when there is none: no such bottle, or none that ever was ready. @throws UserError when it is damaged. */
export async function findRecord(paths: BottlePaths): Promise<BottleRecord | undefined> {
  let text: string;
  try {
    text = await readFile(paths.record, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const parsed = recordSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new UserError(`${paths.record} is damaged, or of a later version of bot-bottle`, {
    hint: `bottle rm --force ${basename(paths.state)} removes the bottle with whatever work it holds`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Every id with a state directory, whatever is in it. */
export async function listBottleIds(home: Home = homeOf()): Promise<readonly string[]> {
  return (await namesIn(home.state)).filter(isBottleId);
}

export async function newToken(paths: BottlePaths): Promise<string> {
  const token = randomBytes(32).toString("hex");
  await writeFileAtomic(paths.token, token);
  return token;
}
