/**
 * What an existing log ends with, before anything is added to it. The whole log is verified: a chain that
 * is continued over an altered line would vouch for it. Only what a crash leaves is mended, a last line
 * that was cut off in the middle: nobody was ever told that it had been written.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { UserError, unreachable } from "../lib/errors.ts";
import { boundedData, type EventData } from "./bounded-data.ts";
import { type ChainState, createChainCheck } from "./chain-check.ts";
import type { HostKey } from "./host-key.ts";
import { judgeLastLine } from "./last-line.ts";
import { type RawLine, readRawLines } from "./log-lines.ts";

export interface Past {
  readonly state: ChainState;
  /** What was done about a last line without an end; becomes the event `log.recovered`. */
  readonly recovered: EventData | undefined;
}

/** Of the bytes that a crash left, how many the log keeps to read. */
const TORN_TEXT_BYTES = 1024;
const READ_BYTES = 64 * 1024;

/** @throws UserError naming the first thing wrong. */
export async function recover(file: FileHandle, path: string, bottle: string, key: HostKey): Promise<Past> {
  const stat = await file.stat();
  if (!stat.isFile()) throw new UserError(`${path} is not a file`, { hint: "move it out of the way" });
  const check = createChainCheck(bottle, key);
  let torn: RawLine | undefined;
  for await (const line of readRawLines(file, stat.size)) {
    if (line.terminated) check.take(line);
    else torn = line;
  }
  let recovered: EventData | undefined = stat.size === 0 ? { bytes: 0 } : undefined;
  if (torn !== undefined && check.state.problemCount === 0) {
    const kind = judgeLastLine(check, torn);
    switch (kind) {
      case "unfinished":
        await file.write("\n");
        check.take(torn);
        recovered = { completed: torn.length };
        break;
      case "foreign":
        check.take(torn);
        break;
      case "torn": {
        const start = stat.size - torn.length;
        recovered = await describe(file, start, torn.length);
        await file.truncate(start);
        break;
      }
      default:
        unreachable(kind);
    }
    await file.datasync();
  }
  const [problem] = check.state.problems;
  if (problem !== undefined) {
    throw new UserError(`the audit log ${path} is broken at line ${problem.line}: ${problem.detail}`, {
      hint: `bottle audit verify ${bottle} shows all; the bottle cannot go on with a log that was altered`,
    });
  }
  return { state: check.state, recovered };
}

async function describe(file: FileHandle, start: number, length: number): Promise<EventData> {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(READ_BYTES);
  let text = "";
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, length - done), start + done);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    if (done === 0) text = chunk.toString("utf8", 0, Math.min(bytesRead, TORN_TEXT_BYTES));
    done += bytesRead;
  }
  return boundedData({ bytes: length, sha256: hash.digest("hex"), text });
}
