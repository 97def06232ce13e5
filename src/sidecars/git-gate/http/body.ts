/**
 * A request's body on its way to git: unpacked, counted, and for a push its list of commands held to a bound before
 * receive-pack reads it into memory, and each to one line: receive-pack shows its hook a ref before it looks at the name.
 */
import type { IncomingMessage } from "node:http";
import type { Readable, Writable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Gathered } from "../../../lib/gathered.ts";
import { LIMITS } from "../limits.ts";

export interface BodyEnd {
  readonly how: "complete" | "too-large" | "crowded" | "malformed" | "aborted";
  /** A push's commands, as they stand there: `<old> <new> <ref>`. */
  readonly commands: readonly string[];
  /** What the client says that it understands. */
  readonly capabilities: ReadonlySet<string>;
}

export interface BodyOptions {
  readonly maxBytes: number;
  /** The body begins with a push's commands. */
  readonly commands: boolean;
  /** Called for each piece that arrives. */
  readonly moved: () => void;
  /** False when the host has no room for that many more bytes: git gets no more, and the client is heard to its end. */
  readonly hasRoom?: (bytes: number) => boolean;
}

export type BodyEncoding = "gzip" | "identity" | "unknown";

export function encodingOf(request: IncomingMessage): BodyEncoding {
  const encoding = request.headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (encoding === "gzip" || encoding === "x-gzip") return "gzip";
  return encoding === "identity" ? "identity" : "unknown";
}

export async function pumpBody(
  request: IncomingMessage,
  encoding: "gzip" | "identity",
  to: Writable,
  options: BodyOptions,
): Promise<BodyEnd> {
  const guard = options.commands ? new CommandReader() : undefined;
  const end = (how: BodyEnd["how"]): BodyEnd => ({
    how,
    commands: guard?.commands() ?? [],
    capabilities: new Set(guard?.capabilities()),
  });
  let size = 0;
  let isCrowded = false;
  let writable = true;
  to.once("close", () => {
    writable = false;
  });
  try {
    for await (const chunk of decoded(request, encoding)) {
      const bytes = chunk as Buffer;
      options.moved();
      size += bytes.length;
      // Git may have read enough; the client still has to be heard to its end, or it would not read the answer. What
      // comes packed would be unpacked for nobody.
      const isHeard = writable || encoding === "gzip";
      if (isHeard && size > options.maxBytes) return end("too-large");
      if (guard?.push(bytes) === false) return end("malformed");
      if (writable && !isCrowded && options.hasRoom?.(bytes.length) === false) {
        isCrowded = true;
        to.destroy();
      }
      if (writable && !isCrowded && !to.write(bytes)) await drained(to);
    }
  } catch {
    return end(request.complete ? "malformed" : "aborted");
  }
  to.end();
  if (!request.complete) return end("aborted");
  return end(isCrowded ? "crowded" : "complete");
}

function decoded(request: IncomingMessage, encoding: "gzip" | "identity"): Readable {
  if (encoding === "identity") return request;
  const gunzip = createGunzip();
  request.on("error", (error) => gunzip.destroy(error));
  request.once("aborted", () => gunzip.destroy(new Error("aborted")));
  return request.pipe(gunzip);
}

function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      to.off("drain", done);
      to.off("close", done);
      resolve();
    };
    to.on("drain", done);
    to.on("close", done);
    if (to.destroyed) done();
  });
}

const LENGTH_DIGITS = 4;
const SHORTEST_PACKET = 4;

/** Follows packets up to the first flush: `<4 hex digits of length><data>`. Source: gitprotocol-common(5). */
class CommandReader {
  readonly #packets: string[] = [];
  readonly #packet = new Gathered();
  #left = 0;
  #digits = "";
  #total = 0;
  #done = false;

  /** False when these are no commands, or too many. */
  push(bytes: Buffer): boolean {
    for (let at = 0; at < bytes.length && !this.#done; ) {
      if (this.#left > 0) {
        const part = bytes.subarray(at, at + this.#left);
        this.#packet.push(part);
        this.#left -= part.length;
        this.#total += part.length;
        at += part.length;
        if (this.#left === 0 && !this.#endPacket()) return false;
      } else {
        this.#digits += String.fromCharCode(bytes[at] ?? 0);
        at += 1;
        if (this.#digits.length === LENGTH_DIGITS && !this.#beginPacket()) return false;
      }
      if (this.#total > LIMITS.commandBytes) return false;
    }
    return true;
  }

  commands(): readonly string[] {
    return this.#packets.map((line) => line.split("\0")[0] ?? "").filter((line) => COMMAND.test(line));
  }

  /** They stand behind a NUL in the first command. */
  capabilities(): readonly string[] {
    return this.#packets.flatMap((line) => line.split("\0")[1]?.split(" ") ?? []);
  }

  #endPacket(): boolean {
    const text = this.#packet.take().toString("utf8");
    this.#packets.push(text.endsWith("\n") ? text.slice(0, -1) : text);
    return ONE_LINE.test(this.#packets.at(-1) ?? "");
  }

  #beginPacket(): boolean {
    if (!/^[0-9a-fA-F]{4}$/.test(this.#digits)) return false;
    const length = Number.parseInt(this.#digits, 16);
    this.#digits = "";
    if (length === 0) this.#done = true;
    else if (length < SHORTEST_PACKET) return false;
    else this.#left = length - SHORTEST_PACKET;
    return true;
  }
}

/** Behind the first NUL stands what the client says that it understands. */
const ONE_LINE = /^[^\0-\x1f\x7f]*(?:\0[^\0-\x1f\x7f]*)?$/;
const COMMAND = /^[0-9a-f]{40,64} [0-9a-f]{40,64} refs\//;
