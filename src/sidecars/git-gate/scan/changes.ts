/**
 * The paths that each new commit changes, against all of its parents: a merge counts for what no parent has. What it
 * took over from one was judged there, or is upstream's own; what it takes back is looked for besides (merges.ts). Every
 * path of every new commit that upstream does not have is among them, under each of its names.
 */
import type { Readable } from "node:stream";
import { LAST } from "./listing.ts";

export interface Change {
  readonly commit: string;
  /** Its bytes, as latin1. */
  readonly path: string;
  readonly letter: "A" | "M" | "D";
  /** Undefined when it is gone. */
  readonly id: string | undefined;
  /** What stood there in each parent that had something. */
  readonly before: readonly string[];
  /** `100644`, `120000` (a link), `160000` (a submodule). */
  readonly mode: string;
}

const ID = /^[0-9a-f]{40,64}$/;
const MAX_RECORD_BYTES = 1024 * 1024;
const ABSENT = "000000";
/** What is no commit is passed on as it came. */
const END = `${LAST}\n`;

/**
 * Reads what `diff-tree --stdin -z` says, one run of it after the other, until one of `takes` says false.
 * @throws Error when git did not say all.
 */
export async function readChanges(
  stream: Readable,
  takes: readonly ((change: Change) => boolean)[],
): Promise<void> {
  let commit = "";
  let meta: string | undefined;
  let ended = 0;
  for await (const token of records(stream)) {
    let text = token.toString("latin1");
    if (meta !== undefined) {
      if (takes[ended]?.(changeOf(commit, meta, text)) !== true) return;
      meta = undefined;
      continue;
    }
    for (; text.startsWith(END); text = text.slice(END.length)) ended += 1;
    if (text.startsWith(":")) meta = text;
    else if (ID.test(text)) commit = text;
    else if (text !== "") throw new Error("git showed a change that cannot be read");
  }
  if (ended !== takes.length || meta !== undefined)
    throw new Error("git could not compare what the push brings");
}

/** `:100644 100644 <id> <id> M`, or with a colon, a mode and an id for each parent, and one more of each. */
function changeOf(commit: string, meta: string, path: string): Change {
  const parents = /^:+/.exec(meta)?.[0].length ?? 0;
  const words = meta.slice(parents).split(" ");
  const modes = words.slice(0, parents + 1);
  const ids = words.slice(parents + 1, 2 * parents + 2);
  const mode = modes[parents];
  const id = ids[parents];
  if (mode === undefined || id === undefined || words.length !== 2 * parents + 3) {
    throw new Error("git showed a change that cannot be read");
  }
  const before = ids.slice(0, parents).filter((_, i) => modes[i] !== ABSENT);
  const letter = mode === ABSENT ? "D" : before.length === 0 ? "A" : "M";
  return { commit, path, letter, id: mode === ABSENT ? undefined : id, before, mode };
}

/** What stands between NULs, and what follows the last. */
async function* records(stream: AsyncIterable<unknown>): AsyncGenerator<Buffer, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    let begin = 0;
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0, begin)) {
      yield rest.subarray(begin, end);
      begin = end + 1;
    }
    rest = rest.subarray(begin);
    if (rest.length > MAX_RECORD_BYTES)
      throw new Error("a path of the push is longer than any file system takes");
  }
  if (rest.length > 0) yield rest;
}
