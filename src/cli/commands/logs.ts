/** `bottle logs`: what the agent printed. On a terminal without what would act on it. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { createTerminalFilter, TERMINAL_RESET } from "../../keeper/terminal-filter.ts";
import { codeOf } from "../../lib/errors.ts";

/** Between looks at a log that is followed. */
const FOLLOW_MS = 200;

export async function logs(id: string, flags: { readonly follow?: true }): Promise<number> {
  const paths = bottlePaths(id);
  if ((await tryConnectKeeper(paths, id)) === undefined) await readRecord(paths);
  const onTerminal = process.stdout.isTTY === true;
  // One filter for all of it: a sequence may lie across two looks.
  const filter = createTerminalFilter();
  const show = (chunk: Buffer): Uint8Array => (onTerminal ? filter.write(chunk) : chunk);
  let position = 0;
  for (;;) {
    // Asked before reading: what is written until then is read once more after the last answer.
    const running = flags.follow === true && (await tryConnectKeeper(paths, id)) !== undefined;
    position = await copyFrom(paths.agentLog, position, show);
    if (!running) break;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
  if (onTerminal) process.stdout.write(TERMINAL_RESET);
  return 0;
}

async function copyFrom(path: string, start: number, show: (chunk: Buffer) => Uint8Array): Promise<number> {
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (codeOf(error) === "ENOENT") return 0;
      throw error;
    },
  );
  if (size <= start) return start;
  for await (const chunk of createReadStream(path, { start, end: size - 1 })) {
    if (!process.stdout.write(show(chunk as Buffer))) await once(process.stdout, "drain");
  }
  return size;
}
