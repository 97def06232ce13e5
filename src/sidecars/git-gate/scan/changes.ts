/**
 * The paths that each new commit changes, against all of its parents: a merge counts for what no parent has. What it
 * took over from one was judged there, or is upstream's own. Every path of every new commit that upstream does not
 * have is among them, under each of its names.
 */
import type { Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";

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

/** What git takes for itself, and for a path while it compares. */
const BASE_BYTES = 256 * 1024 ** 2;
const PATH_BYTES = 1024;

/**
 * Oldest first. Stops early when `take` says false. Says false when one commit changes more than `most` paths and git
 * cannot hold them: a few folders within each other stand for more of them than there is memory.
 * @throws Error when git fails.
 */
export async function walkChanges(
  git: Git,
  place: Place,
  { tips, most }: { readonly tips: readonly string[]; readonly most: number },
  take: (change: Change) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const timeoutMs = LIMITS.inspectMs;
  const list = git.start(place, ["rev-list", "--reverse", "--topo-order", ...tips, "--not", "--all", "--"], {
    timeoutMs,
    signal,
  });
  const options = [
    "--stdin",
    "-r",
    "-c",
    "--root",
    "--raw",
    "-z",
    "--no-abbrev",
    "--no-renames",
    "--no-ext-diff",
  ];
  const memoryBytes = BASE_BYTES + most * PATH_BYTES;
  const diff = git.start(place, ["diff-tree", ...options], { timeoutMs, signal, memoryBytes });
  list.stdin.end();
  list.stdout.pipe(diff.stdin);
  let commit = "";
  let meta: string | undefined;
  let wanted = true;
  for await (const token of records(diff.stdout)) {
    if (meta === undefined) {
      const text = token.toString("latin1");
      if (text.startsWith(":")) meta = text;
      else if (ID.test(text)) commit = text;
      else throw new Error("git showed a change that cannot be read");
      continue;
    }
    wanted = take(changeOf(commit, meta, token.toString("latin1")));
    meta = undefined;
    if (!wanted) break;
  }
  list.kill();
  diff.kill();
  const [listEnd, diffEnd] = await Promise.all([list.ended, diff.ended]);
  if (wanted && diffEnd.code !== 0 && /out of memory/i.test(diffEnd.stderr)) return false;
  if (wanted && (listEnd.code !== 0 || diffEnd.code !== 0 || meta !== undefined)) {
    throw new Error("git could not compare what the push brings");
  }
  return true;
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

/** What stands between NULs. */
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
  if (rest.length > 0) throw new Error("git stopped in the middle of a change");
}
