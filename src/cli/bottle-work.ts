/** A bottle's work, taken out as late as possible: from the running guest, from its last export, or salvaged. */
import { type BottlePaths, bottlePaths, readRecord } from "../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../keeper/control-client.ts";
import { salvageWork } from "../keeper/salvage.ts";
import { readWork, type WorkSummary } from "../provision/workspace/work.ts";
import { progressLine, tell } from "./output.ts";

/** After it, `paths.work` holds what the summary tells. */
export async function latestWork(
  id: string,
): Promise<{ readonly paths: BottlePaths; readonly work: WorkSummary }> {
  const paths = bottlePaths(id);
  const keeper = await tryConnectKeeper(paths, id);
  if (keeper !== undefined) {
    const reply = await keeper.ask({ op: "export" });
    if (!("work" in reply)) throw new Error("the keeper did not tell what it took out");
    return noted(paths, reply.work);
  }
  const record = await readRecord(paths);
  const exported = record.ended === undefined ? undefined : await readWork(paths.work);
  if (exported !== undefined) return noted(paths, exported);
  const progress = progressLine();
  try {
    return noted(paths, await salvageWork(paths, record, progress.show));
  } finally {
    progress.clear();
  }
}

function noted(paths: BottlePaths, work: WorkSummary): { paths: BottlePaths; work: WorkSummary } {
  for (const note of work.notes) tell(`note: ${note}`);
  return { paths, work };
}
