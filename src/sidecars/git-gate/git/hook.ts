/**
 * How receive-pack asks the gate. The hook decides nothing: it carries what receive-pack says to the gate over file
 * descriptor 3, which every program of that one request has inherited, and obeys. Whoever cannot be asked says no:
 * when the gate dies its end of the descriptor closes, and the hook ends with failure (I7).
 *
 * To the gate: the quarantine's path, a line for each ref, a line with a dot. From it: lines that begin with a space,
 * for the agent to read, then `accept` or anything else.
 */
import type { Duplex } from "node:stream";
import { printable } from "../../../lib/printable.ts";

export const HOOK_FD = 3;

export const PRE_RECEIVE = `#!/bin/sh
{ printf '%s\\n' "$GIT_QUARANTINE_PATH" && cat && echo .; } >&${HOOK_FD} || exit 1
while IFS= read -r line <&${HOOK_FD}; do
  case $line in
    ' '*) printf '%s\\n' "\${line# }" >&2 ;;
    accept) exit 0 ;;
    *) exit 1 ;;
  esac
done
exit 1
`;

/** What receive-pack is about to do. */
export interface HookRequest {
  readonly quarantine: string;
  /** `<old> <new> <ref>`, as they came. */
  readonly lines: readonly string[];
}

/** A line of receive-pack's: two ids and a ref, which it has read from a packet of at most 64 KiB. */
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

/**
 * Waits for the hook to ask. Undefined when it never does: the push failed before, or was none.
 * @throws Error when it says too much.
 */
export function readHookRequest(channel: Duplex): Promise<HookRequest | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_REQUEST_BYTES) {
        reject(new Error("the hook says more than a push can hold"));
        channel.destroy();
        return;
      }
      if (!endsWithDot(chunks)) return;
      channel.off("data", onData);
      const [quarantine = "", ...lines] = Buffer.concat(chunks).toString("utf8").split("\n");
      resolve({ quarantine, lines: lines.slice(0, -2) });
    };
    channel.on("data", onData);
    channel.once("close", () => resolve(undefined));
  });
}

const END = "\n.\n";

function endsWithDot(chunks: readonly Buffer[]): boolean {
  let tail = "";
  for (let i = chunks.length - 1; i >= 0 && tail.length < END.length; i--) {
    tail = (chunks[i]?.subarray(-END.length).toString("latin1") ?? "") + tail;
  }
  return tail.endsWith(END);
}

/** A denial with all its subjects; git cuts lines of its own sideband at 64 KiB. */
const MAX_LINE = 8_000;

/** Says lines to the agent. */
export function sayToHook(channel: Duplex, lines: readonly string[]): void {
  if (!channel.destroyed) channel.write(lines.map((line) => ` ${printable(line, MAX_LINE)}\n`).join(""));
}

export function answerHook(channel: Duplex, accept: boolean): void {
  if (!channel.destroyed) channel.write(accept ? "accept\n" : "refuse\n");
}
