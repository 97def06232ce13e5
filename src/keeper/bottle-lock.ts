/**
 * Who is alone with a bottle's directory: its keeper from the first step of a launch to the last of its end,
 * or a command at work on a bottle that does not run. A holder that was killed holds nothing.
 */
import { existsSync } from "node:fs";
import { UserError } from "../lib/errors.ts";
import { type Lock, lockHolder, tryLock } from "../lib/lock-file.ts";
import { type BottlePaths, listBottleIds, noSuchBottle } from "./bottle-record.ts";

/** @throws UserError when the bottle runs, or there is none. */
export async function lockBottle(id: string, paths: BottlePaths): Promise<Lock> {
  if (!existsSync(paths.state)) throw noSuchBottle(id, await listBottleIds());
  const outcome = await tryLock(paths.lock);
  if ("release" in outcome) return outcome;
  throw new UserError(`bottle ${id} is running (process ${outcome.pid})`, {
    hint: `bottle attach ${id}, or bottle stop ${id}`,
  });
}

/** True while somebody who lives holds it, whether or not he answers. */
export async function isInUse(paths: BottlePaths): Promise<boolean> {
  return (await lockHolder(paths.lock)) !== undefined;
}
