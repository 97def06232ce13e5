/** `bottle pull`: the agent's work as refs of this repository. Branches, index and files stay as they are. */
import { readRecord, writeRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { printable } from "../../lib/printable.ts";
import { pullWork } from "../../provision/workspace/pull.ts";
import { latestWork } from "../bottle-work.ts";
import { print, printJson, tell } from "../output.ts";

export async function pull(id: string, flags: { readonly json?: true }): Promise<number> {
  const { paths, work } = await latestWork(id);
  if (work.empty) {
    tell(`${id} has no work to pull`);
    if (flags.json) printJson({ id, refs: [] });
    return 0;
  }
  const pulled = await pullWork(paths.work, id, process.cwd());
  if ((await tryConnectKeeper(paths, id)) === undefined) {
    await writeRecord(paths, { ...(await readRecord(paths)), work: "pulled" });
  }
  if (flags.json) printJson({ id, ...pulled });
  else {
    for (const { name, state } of pulled.refs) print(`${state.padEnd(9)}  ${printable(name, 500)}`);
    for (const { purpose, command } of pulled.usage) tell(`  ${command}    # ${purpose}`);
  }
  return 0;
}
