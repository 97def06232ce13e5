/**
 * Takes work out of a bottle that no keeper runs any more: its guest is booted once more, without a sidecar
 * and so without any way out, and without its agent. The workspace is only ever touched from inside.
 */
import { backendNamed } from "../backends/registry.ts";
import type { Progress } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { createScope } from "../lib/scope.ts";
import { exportWork } from "../provision/workspace/export.ts";
import type { BaseSnapshot } from "../provision/workspace/snapshot.ts";
import type { WorkSummary } from "../provision/workspace/work.ts";
import { lockBottle } from "./bottle-lock.ts";
import { type BottlePaths, type BottleRecord, writeRecord } from "./bottle-record.ts";

/** @throws UserError when there is nothing to look into, or the bottle has just been started again. */
export async function salvageWork(
  paths: BottlePaths,
  record: BottleRecord,
  progress: Progress,
): Promise<WorkSummary> {
  const { id, plan } = record;
  const base = record.base as BaseSnapshot | undefined;
  if (base === undefined) throw new UserError(`bottle ${id} never got as far as having a workspace`);
  const scope = createScope();
  try {
    const lock = await lockBottle(id, paths);
    scope.defer("bottle lock", () => lock.release());
    progress(`booting the guest of ${id} once more, to take its work out`);
    await makePrivateDir(paths.runtime);
    scope.defer("runtime directory", () => removeTree(paths.runtime));
    const backend = await backendNamed(plan.backend);
    const prepared = await backend.prepare({ plan, tools: [] }, progress);
    const reserve = {
      id,
      plan,
      stateDir: paths.state,
      runtimeDir: paths.runtime,
      services: [],
      keepsDisk: () => true,
    };
    const link = await backend.reserve(prepared, reserve, scope);
    const guest = await backend.boot(prepared, link, { plan, env: {}, progress }, scope);
    const work = await exportWork(guest, base, paths.work, {
      id,
      progress,
      ...(plan.workspaceFrom !== undefined && { operatorFolder: plan.workspaceFrom }),
    });
    const ended = record.ended ?? { at: new Date().toISOString(), exit: "crashed" };
    await writeRecord(paths, { ...record, ended, work: work.empty ? "none" : "exported" });
    return work;
  } finally {
    await scope.close();
  }
}
