/**
 * The agent's work as a bare repository of the host's. Contract: git in the guest only sends objects and claims
 * names for them; this side decides what is written, checks every object before it is seen, and replaces the
 * last export only by a whole one.
 */
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Guest, Progress } from "../../contract/backend.ts";
import { codeOf } from "../../lib/errors.ts";
import { isBottleId } from "../../lib/names.ts";
import { withScratchDir } from "../scratch.ts";
import { slowStep } from "../slow-step.ts";
import { openGuestGit } from "./guest-git.ts";
import { claimWork, isNew, sendPack } from "./guest-work.ts";
import { lenderAt } from "./lender.ts";
import { makeWorkRepository, receivePack } from "./receive-pack.ts";
import { objectTypes, recordWork } from "./record-work.ts";
import { type BaseSnapshot, startingIds } from "./snapshot.ts";
import { type WorkSummary, writeSummary } from "./work.ts";

export interface ExportOptions {
  readonly id: string;
  /** The folder that the workspace came from: what its repository has is neither sent nor kept twice. */
  readonly operatorFolder?: string;
  readonly progress?: Progress;
}

/**
 * Takes everything new out of the guest into the bare repository `workDir`, which is replaced. Asking again
 * with nothing changed gives the same commits.
 * @throws UserError when git in the guest fails or what it sends is refused; `workDir` is then as it was.
 */
export async function exportWork(
  guest: Guest,
  base: BaseSnapshot,
  workDir: string,
  options: ExportOptions,
): Promise<WorkSummary> {
  const { id, operatorFolder, progress = () => {} } = options;
  if (!isBottleId(id)) throw new Error(`no bottle id: ${id}`);
  const git = await openGuestGit(guest.exec, base.objectFormat);
  const claimed = await slowStep(progress, "looking for work in the bottle", () => claimWork(git, base));
  const lender = operatorFolder === undefined ? undefined : await lenderAt(operatorFolder, git.objectFormat);
  return withScratchDir(dirname(workDir), async (scratch) => {
    const made = join(scratch, basename(workDir));
    const place = await makeWorkRepository(made, {
      objectFormat: git.objectFormat,
      alternate: lender?.objects,
      shallow: lender?.shallow ?? base.shallow,
    });
    const take = async (): Promise<WorkSummary> => {
      const lent = [...(await objectTypes(place, startingIds(base))).keys()];
      await sendPack(git, claimed, base, lent, (pack) =>
        receivePack(place, pack, { isPartial: base.isPartial }),
      );
      return recordWork(place, claimed, base, { id, objectFormat: git.objectFormat });
    };
    const summary = isNew(claimed)
      ? await slowStep(progress, "taking the work out of the bottle", take)
      : nothingNew(claimed.notes);
    await writeSummary(made, summary);
    await replaceFolder(workDir, made, join(scratch, "earlier"));
    return summary;
  });
}

function nothingNew(notes: readonly string[]): WorkSummary {
  return { commits: 0, branches: [], tags: [], notes: [...notes], empty: notes.length === 0 };
}

/** Two renames, as there is no one that does both: if the second fails, the first is undone. */
async function replaceFolder(target: string, made: string, aside: string): Promise<void> {
  await rename(target, aside).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  try {
    await rename(made, target);
  } catch (error) {
    await rename(aside, target).catch(() => {});
    throw error;
  }
}
