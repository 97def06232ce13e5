/**
 * A channel of the SSH library as a stream that keeps to Node's rules: it can be destroyed, whoever waits for a
 * write hears of its end, and a hostile server that sends more than it was allowed to is cut off instead of
 * filling this process's memory.
 */
import { Duplex } from "node:stream";
import type { Channel } from "ssh2";

/** What the library lets a server send ahead, and one packet. */
const MAX_AHEAD_BYTES = 2 * 1024 * 1024 + 64 * 1024;

/**
 * @param opening what is read and written waits for it; the stream fails with it.
 * @param halfOpen whether our side stays open when the other one has ended.
 */
export function channelStream(opening: Promise<Channel>, halfOpen: boolean): Duplex {
  let channel: Channel | undefined;
  let over = false;
  // The library forgets who waits for a write when the channel is closed; what nobody reads is lost, as on a socket.
  let written: (() => void) | undefined;
  const stream = new Duplex({
    allowHalfOpen: halfOpen,
    construct: (done) => {
      opening.then((opened) => {
        channel = opened;
        listen(opened);
        done();
      }, done);
    },
    read: () => void channel?.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (over || channel === undefined) {
        done();
        return;
      }
      written = () => {
        written = undefined;
        done();
      };
      channel.write(chunk, () => written?.());
    },
    final: (done) => {
      channel?.end();
      done();
    },
    destroy: (error, done) => {
      if (!over) channel?.close();
      // What still comes must go somewhere, or the channel would never end.
      channel?.resume();
      done(error);
    },
  });
  const listen = (opened: Channel): void => {
    opened.on("error", (error: Error) => stream.destroy(error));
    opened.on("data", (chunk: Buffer) => {
      if (stream.destroyed) return;
      if (stream.readableLength + opened.readableLength > MAX_AHEAD_BYTES)
        stream.destroy(new Error("sent more than it may"));
      else if (!stream.push(chunk)) opened.pause();
    });
    opened.once("end", () => stream.push(null));
    opened.once("close", () => {
      over = true;
      written?.();
      // A reader that is behind still gets what had come.
      if (stream.readableEnded || stream.destroyed) stream.destroy();
      else if (!stream.writableFinished) stream.end();
    });
  };
  return stream;
}
