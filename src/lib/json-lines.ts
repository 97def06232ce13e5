/**
 * One JSON value a line, in both directions. The reader is bounded: a peer that never ends its line
 * costs at most `maxLineBytes`, then the stream is refused.
 */
import type { Readable, Writable } from "node:stream";

/** Enough for a plan with a long prompt; far below what would hurt a process to hold. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;

export class LineTooLongError extends Error {
  override readonly name = "LineTooLongError";
}

/**
 * Yields each parsed line. Ends with the stream.
 * @throws LineTooLongError when a line passes `maxLineBytes`; SyntaxError on a line that is no JSON.
 */
export async function* readJsonLines(
  stream: Readable,
  options: { maxLineBytes?: number } = {},
): AsyncGenerator<unknown, void, void> {
  for await (const line of readLines(stream, options)) {
    if (line.trim() !== "") yield JSON.parse(line) as unknown;
  }
}

/** Yields each line as text, without its newline; a last line without one is yielded too. */
export async function* readLines(
  stream: Readable,
  options: { maxLineBytes?: number } = {},
): AsyncGenerator<string, void, void> {
  const limit = options.maxLineBytes ?? MAX_LINE_BYTES;
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let rest: Buffer = typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      parts.push(rest.subarray(0, end));
      size += end;
      if (size > limit) throw new LineTooLongError(`a line of more than ${limit} bytes`);
      yield Buffer.concat(parts).toString("utf8");
      parts = [];
      size = 0;
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) {
      parts.push(rest);
      size += rest.length;
      if (size > limit) throw new LineTooLongError(`a line of more than ${limit} bytes`);
    }
  }
  if (size > 0) yield Buffer.concat(parts).toString("utf8");
}

/** Writes one value as a line. Resolves when the stream took it; a closed stream is not an error. */
export function writeJsonLine(stream: Writable, value: unknown): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableEnded) {
      resolve();
      return;
    }
    stream.write(`${JSON.stringify(value)}\n`, () => resolve());
  });
}
