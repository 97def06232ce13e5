/** `bottle diff`: a patch, or with `--stat` a table. On a terminal in colour, and without what would act on it. */
import { pipeline } from "node:stream/promises";
import { filterTerminal } from "../../keeper/terminal-filter.ts";
import { diffWork } from "../../provision/workspace/work.ts";
import { latestWork } from "../bottle-work.ts";
import { tell } from "../output.ts";

export async function diff(id: string, flags: { readonly stat?: true }): Promise<number> {
  const { paths, work } = await latestWork(id);
  if (work.empty) {
    tell(`${id} changed nothing`);
    return 0;
  }
  const onTerminal = process.stdout.isTTY === true;
  const patch = diffWork(paths.work, {
    stat: flags.stat === true,
    color: onTerminal && !process.env["NO_COLOR"],
  });
  if (onTerminal) await pipeline(patch, filterTerminal(), process.stdout, { end: false });
  else await pipeline(patch, process.stdout, { end: false });
  return 0;
}
