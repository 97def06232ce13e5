/** `bottle logs`: what the agent printed. On a terminal without what would act on it. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { constants } from "node:os";
import { type BottlePaths, bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { createTerminalFilter } from "../../keeper/terminal-filter.ts";
import { TERMINAL_RESET } from "../../keeper/terminal-rules.ts";
import { codeOf } from "../../lib/errors.ts";

/** Between looks at a log that is followed. */
const FOLLOW_MS = 200;

export async function logs(id: string, flags: { readonly follow?: true }): Promise<number> {
  const paths = bottlePaths(id);
  if (!(await isRunning(paths, id))) await readRecord(paths);
  const onTerminal = process.stdout.isTTY === true;
  // One filter for all of it: a sequence may lie across two looks.
  const filter = createTerminalFilter();
  const show = (chunk: Buffer): Uint8Array => (onTerminal ? filter.write(chunk) : chunk);
  // What the agent switched on in the terminal (a mouse, another screen) does not outlive this, however it ends.
  const interrupt = (): void => {
    process.stdout.write(TERMINAL_RESET, () => process.exit(128 + constants.signals.SIGINT));
  };
  if (onTerminal) process.once("SIGINT", interrupt);
  let isRead = true;
  process.stdout.once("error", () => {
    isRead = false;
  });
  let file: FileHandle | undefined;
  try {
    let position = 0;
    for (;;) {
      // Asked before reading: what is written until then is read once more after the last answer.
      const goesOn = flags.follow === true && (await isRunning(paths, id));
      // Kept open: a bottle that ends well takes its files along, and what was said last must not be lost.
      file ??= await openLog(paths.agentLog);
      if (file !== undefined) position = await copyFrom(file, position, show);
      if (!goesOn || !isRead) break;
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    }
  } finally {
    await file?.close();
  }
  if (onTerminal) process.stdout.write(TERMINAL_RESET);
  return 0;
}

async function isRunning(paths: BottlePaths, id: string): Promise<boolean> {
  return (await tryConnectKeeper(paths, id)) !== undefined;
}

/** Undefined while the agent has not started. */
async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function copyFrom(
  file: FileHandle,
  start: number,
  show: (chunk: Buffer) => Uint8Array,
): Promise<number> {
  const { size } = await file.stat();
  if (size <= start) return start;
  const content = createReadStream("", { fd: file, start, end: size - 1, autoClose: false });
  for await (const chunk of content) {
    if (!process.stdout.write(show(chunk as Buffer))) await once(process.stdout, "drain");
  }
  return size;
}
