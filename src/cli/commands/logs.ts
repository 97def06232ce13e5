/** `bottle logs`: what the agent printed. On a terminal without what would act on it. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { filterTerminal } from "../../keeper/terminal-filter.ts";
import { codeOf } from "../../lib/errors.ts";

/** Between looks at a log that is followed. */
const FOLLOW_MS = 200;

export async function logs(id: string, flags: { readonly follow?: true }): Promise<number> {
  const paths = bottlePaths(id);
  if ((await tryConnectKeeper(paths, id)) === undefined) await readRecord(paths);
  let position = 0;
  for (;;) {
    // Asked before reading: what is written until then is read once more after the last answer.
    const running = flags.follow === true && (await tryConnectKeeper(paths, id)) !== undefined;
    position = await copyFrom(paths.agentLog, position);
    if (!running) return 0;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
}

async function copyFrom(path: string, start: number): Promise<number> {
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (codeOf(error) === "ENOENT") return 0;
      throw error;
    },
  );
  if (size <= start) return start;
  const file = createReadStream(path, { start, end: size - 1 });
  if (process.stdout.isTTY) await pipeline(file, filterTerminal(), process.stdout, { end: false });
  else await pipeline(file, process.stdout, { end: false });
  return size;
}
