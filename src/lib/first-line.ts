/** Reads one line off a stream and leaves the rest of the stream as it was. */
import type { Duplex } from "node:stream";

/**
 * @returns the line without its newline. The socket is paused afterwards, with any surplus put back.
 * @throws Error when the peer closes first or sends more than `limit` bytes without a newline.
 */
export function readFirstLine(socket: Duplex, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let held: Buffer[] = [];
    let size = 0;
    const settle = (error: Error | undefined, line = ""): void => {
      socket.off("data", onData);
      socket.off("error", onError);
      socket.off("close", onClose);
      socket.off("end", onClose);
      socket.pause();
      if (error === undefined) resolve(line);
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      const end = chunk.indexOf(10);
      if (end < 0) {
        held.push(chunk);
        size += chunk.length;
        if (size > limit) settle(new Error(`a line of more than ${limit} bytes`));
        return;
      }
      const line = Buffer.concat([...held, chunk.subarray(0, end)]);
      held = [];
      if (line.length > limit) {
        settle(new Error(`a line of more than ${limit} bytes`));
        return;
      }
      settle(undefined, line.toString("utf8"));
      if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
    };
    const onError = (error: Error): void => settle(error);
    const onClose = (): void => settle(new Error("closed before its first line"));
    socket.on("data", onData);
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.on("end", onClose);
  });
}
