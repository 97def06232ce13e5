/**
 * How receive-pack asks the gate. The hook decides nothing: it carries what receive-pack says to the gate over file
 * descriptor 3, which every program of that one request has inherited, and obeys. Whoever cannot be asked says no:
 * when the gate dies its end of the descriptor closes, and the hook ends with failure (I7).
 *
 * To the gate: the quarantine's path, what receive-pack says of each ref, and a line that only this request's hook knows.
 * Names of refs are not looked at before the hook has run, and may hold anything: with an end that the agent can write
 * itself, the gate would judge the first half of a push and let all of it pass (I4). From the gate: lines that begin with
 * a space, for the agent to read, then `accept` or anything else.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { printable } from "../../../lib/printable.ts";

export const HOOK_FD = 3;
const END_VARIABLE = "GATE_END_OF_PUSH";

export const PRE_RECEIVE = `#!/bin/sh
{ printf '%s\\n' "$GIT_QUARANTINE_PATH" && cat && printf '%s\\n' "$${END_VARIABLE}"; } >&${HOOK_FD} || exit 1
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

/** For one request. */
export interface HookEnd {
  readonly word: string;
  /** For the environment of what runs the hook. */
  readonly env: Readonly<Record<string, string>>;
}

export function newHookEnd(): HookEnd {
  const word = randomBytes(16).toString("hex");
  return { word, env: { [END_VARIABLE]: word } };
}

/** A line of receive-pack's: two ids and a ref, which it has read from a packet of at most 64 KiB. */
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

/**
 * Waits for the hook to ask. Undefined when it never does: the push failed before, or was none.
 * @throws Error when it says too much.
 */
export function readHookRequest(channel: Duplex, { word }: HookEnd): Promise<HookRequest | undefined> {
  const end = Buffer.from(`\n${word}\n`);
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
      if (!endWith(chunks, end)) return;
      channel.off("data", onData);
      const [quarantine = "", ...lines] = Buffer.concat(chunks).toString("utf8").split("\n");
      resolve({ quarantine, lines: lines.slice(0, -2) });
    };
    channel.on("data", onData);
    channel.once("close", () => resolve(undefined));
  });
}

function endWith(chunks: readonly Buffer[], end: Buffer): boolean {
  const tail: Buffer[] = [];
  let size = 0;
  for (let i = chunks.length - 1; i >= 0 && size < end.length; i--) {
    const part = chunks[i]?.subarray(-end.length) ?? end.subarray(0, 0);
    tail.unshift(part);
    size += part.length;
  }
  return Buffer.concat(tail).subarray(-end.length).equals(end);
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
