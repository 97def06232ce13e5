/** `bottle rm`: throw a kept bottle away, its work included. The log stays. */
import { existsSync } from "node:fs";
import { type BottlePaths, bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { removeBottle, removeStray } from "../../keeper/leftovers.ts";
import { findStray, type Stray } from "../../keeper/strays.ts";
import { UserError } from "../../lib/errors.ts";
import { confirm } from "../ask.ts";
import { print, report, tell } from "../output.ts";
import { tellProblems } from "./stop.ts";

export async function rm(ids: readonly string[], flags: { readonly force?: true }): Promise<number> {
  let worst = 0;
  for (const id of ids) {
    try {
      await removeOne(id, flags.force === true);
      print(id);
    } catch (error) {
      worst = Math.max(worst, report(error));
    }
  }
  return worst;
}

async function removeOne(id: string, force: boolean): Promise<void> {
  const paths = bottlePaths(id);
  const stray = existsSync(paths.state) ? undefined : await findStray(id);
  if (stray !== undefined) return removeLost(stray, force);
  const keeper = await tryConnectKeeper(paths, id);
  if (keeper !== undefined) {
    if (!force)
      throw new UserError(`bottle ${id} is running`, {
        hint: `bottle stop ${id}, or bottle rm --force ${id}`,
      });
    tellProblems(await keeper.ask({ op: "stop" }));
  }
  if (!force && (await holdsWork(paths))) {
    const sure = await confirm(
      `${id} holds work that was not pulled; remove it?`,
      `bottle pull ${id} first, or add --force`,
    );
    if (!sure) throw new UserError(`${id} was not removed`);
  }
  for (const problem of await removeBottle(id, force)) tell(problem);
}

/** Without its state directory nobody can tell what it holds. */
async function removeLost(stray: Stray, force: boolean): Promise<void> {
  const { bottle: id, keeper } = stray;
  if (!force && keeper !== undefined)
    throw new UserError(`bottle ${id} is running, without its state directory`, {
      hint: `bottle rm --force ${id} ends it, and what it did is lost`,
    });
  if (!force && !(await confirm(`remove what is left of ${id}, whatever it holds?`, "add --force")))
    throw new UserError(`${id} was not removed`);
  await removeStray(stray);
}

/** A bottle whose end nobody saw may hold anything. */
async function holdsWork(paths: BottlePaths): Promise<boolean> {
  const record = await readRecord(paths);
  if (record.ended === undefined) return true;
  return record.work !== "none" && record.work !== "pulled";
}
