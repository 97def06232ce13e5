/**
 * Every object that some commits and tags reach and upstream has not, with its content, as the object store has it: no
 * diff, so no merge, attribute, binary mark or later removal hides any. In constant memory, and each object once.
 */
import type { Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";

export type ObjectType = "commit" | "tree" | "blob" | "tag";

export interface ObjectHead {
  readonly id: string;
  readonly type: ObjectType;
  readonly size: number;
  /** One of the paths under which it lies, as latin1 bytes; or a tag's name. */
  readonly path: string;
}

/** Takes objects as they come. What it returns is waited for. */
export interface ObjectSink {
  /** False ends the stream: nothing more is of interest. */
  begin(head: ObjectHead): boolean;
  data(bytes: Buffer): Promise<void> | undefined;
  end(): Promise<void> | undefined;
}

const HEAD = /^([0-9a-f]+) (commit|tree|blob|tag) ([0-9]+)(?: (.*))?$/s;
/** A header is an object's name and a path. */
const MAX_HEAD_BYTES = 1024 * 1024;
const NEWLINE = 10;

export interface StreamOutcome {
  /** Undefined when every object was given to the sink, or the sink had enough. */
  readonly failure: string | undefined;
}

export async function streamNewObjects(
  git: Git,
  place: Place,
  tips: readonly string[],
  sink: ObjectSink,
  signal: AbortSignal,
): Promise<StreamOutcome> {
  const timeoutMs = LIMITS.inspectMs;
  const list = git.start(place, ["rev-list", "--objects", ...tips, "--not", "--all", "--"], {
    timeoutMs,
    signal,
  });
  const cat = git.start(
    place,
    ["cat-file", "--buffer", "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)"],
    { timeoutMs, signal },
  );
  list.stdin.end();
  let listed = 0;
  list.stdout.on("data", (chunk: Buffer) => {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) listed += 1;
  });
  list.stdout.pipe(cat.stdin);

  const reader = new ObjectReader(sink);
  let enough = false;
  for await (const chunk of cat.stdout) {
    enough = !(await reader.push(chunk as Buffer));
    if (enough || reader.failure !== undefined) break;
  }
  list.kill();
  cat.kill();
  const [listEnd, catEnd] = await Promise.all([list.ended, cat.ended]);
  if (enough) return { failure: undefined };
  if (reader.failure !== undefined) return { failure: reader.failure };
  if (listEnd.code !== 0 || catEnd.code !== 0) return { failure: "git could not read what the push brings" };
  if (!reader.atRest || reader.count !== listed)
    return { failure: "git did not show all that the push brings" };
  return { failure: undefined };
}

class ObjectReader {
  readonly #sink: ObjectSink;
  #head: Buffer[] = [];
  #headSize = 0;
  /** Bytes of the object that are still to come; undefined between objects. */
  #left: number | undefined;
  count = 0;
  failure: string | undefined;

  constructor(sink: ObjectSink) {
    this.#sink = sink;
  }

  get atRest(): boolean {
    return this.#left === undefined && this.#headSize === 0;
  }

  /** False when the sink has had enough. */
  async push(chunk: Buffer): Promise<boolean> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === undefined) {
        const end = rest.indexOf(NEWLINE);
        const part = end < 0 ? rest : rest.subarray(0, end);
        this.#head.push(part);
        this.#headSize += part.length;
        if (this.#headSize > MAX_HEAD_BYTES)
          this.failure = "a path of the push is longer than any file system takes";
        if (end < 0 || this.failure !== undefined) return true;
        rest = rest.subarray(end + 1);
        if (!this.#begin(Buffer.concat(this.#head).toString("latin1"))) return this.failure !== undefined;
        continue;
      }
      const part = rest.subarray(0, this.#left);
      rest = rest.subarray(part.length);
      this.#left -= part.length;
      if (part.length > 0) {
        const pending = this.#sink.data(part);
        if (pending !== undefined) await pending;
      }
      if (this.#left > 0) continue;
      // The newline after the content.
      if (rest.length === 0) return true;
      rest = rest.subarray(1);
      this.#left = undefined;
      const pending = this.#sink.end();
      if (pending !== undefined) await pending;
    }
    return true;
  }

  #begin(line: string): boolean {
    this.#head = [];
    this.#headSize = 0;
    const [, id, type, size, path = ""] = HEAD.exec(line) ?? [];
    if (id === undefined || type === undefined) {
      // "<id> missing": the push refers to what nobody has.
      this.failure = "an object of the push is missing";
      return false;
    }
    this.count += 1;
    this.#left = Number(size);
    return this.#sink.begin({ id, type: type as ObjectType, size: Number(size), path });
  }
}
