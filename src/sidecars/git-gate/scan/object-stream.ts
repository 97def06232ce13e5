/**
 * Every object that some commits and tags reach and upstream has not, with its content, as the object store has it: no
 * diff, so no merge, attribute, binary mark or later removal hides any. In constant memory, and each object once.
 */
import type { Readable } from "node:stream";
import { LAST } from "./listing.ts";

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

/**
 * Reads what `cat-file --batch` says of one object after the other, until the sink has enough.
 * @throws Error when git did not say all.
 */
export async function readObjects(stream: Readable, sink: ObjectSink): Promise<void> {
  const reader = new ObjectReader(sink);
  for await (const chunk of stream) if (!(await reader.push(chunk as Buffer))) return;
  if (!reader.complete) throw new Error("git did not show all that the push brings");
}

class ObjectReader {
  readonly #sink: ObjectSink;
  #head: Buffer[] = [];
  #headSize = 0;
  /** Bytes of the object that are still to come; undefined between objects. */
  #left: number | undefined;
  #ended = false;

  constructor(sink: ObjectSink) {
    this.#sink = sink;
  }

  /** The list of objects came to its end, and so did the last of them. */
  get complete(): boolean {
    return this.#ended && this.#left === undefined && this.#headSize === 0;
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
          throw new Error("a path of the push is longer than any file system takes");
        if (end < 0) return true;
        rest = rest.subarray(end + 1);
        if (!this.#begin(Buffer.concat(this.#head).toString("latin1"))) return false;
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
    if (line === `${LAST} missing`) {
      this.#ended = true;
      return true;
    }
    const [, id, type, size, path = ""] = HEAD.exec(line) ?? [];
    // "<id> missing": the push refers to what nobody has.
    if (id === undefined || type === undefined || this.#ended)
      throw new Error("an object of the push is missing");
    this.#left = Number(size);
    return this.#sink.begin({ id, type: type as ObjectType, size: Number(size), path });
  }
}
