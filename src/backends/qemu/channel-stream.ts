/**
 * A channel of the SSH library as a stream that keeps to Node's rules: it can be destroyed, whoever waits for a
 * write hears of its end, and a hostile server that sends more than it was allowed to is cut off instead of
 * filling this process's memory.
 */
import { Duplex } from "node:stream";
import type { ClientChannel } from "ssh2";
import type { Held, Room } from "./link-room.ts";

/** The library opens its window of 2 MiB anew while it holds less than as much; and one packet. */
const MAX_AHEAD_BYTES = 2 * 2 * 1024 * 1024 + 64 * 1024;

/** RFC 4254 wants 32,768 of everybody. Of a packet that may hold nothing the library would write without end. */
const MIN_PACKET_BYTES = 1024;

/** A channel of this moment, with what has to be there before the next packet is read. */
export interface Opened {
  readonly channel: ClientChannel;
  readonly room: Room;
}

/**
 * @param room of its connection.
 * @throws Error for a channel that nothing can be written to.
 */
export function taken(channel: ClientChannel, room: Room): Opened {
  // On a channel that runs no program nothing honest comes by this way, and its error would end this process.
  channel.stderr.on("error", () => {}).resume();
  const { packetSize } = channel.outgoing as { readonly packetSize: number };
  if (packetSize >= MIN_PACKET_BYTES) return { channel, room };
  channel.on("error", () => {}).resume();
  channel.close();
  throw new Error("takes no packets of a size that is worth sending");
}

/**
 * @param opening what is read and written waits for it; the stream fails with it.
 * @param halfOpen whether our side stays open when the other one has ended.
 */
export function channelStream(opening: Promise<Opened>, halfOpen: boolean): Duplex {
  let channel: ClientChannel | undefined;
  let room: Room | undefined;
  let over = false;
  // The library forgets who waits for a write when the channel is closed; what nobody reads is lost, as on a socket.
  let written: (() => void) | undefined;
  const stream = new Duplex({
    allowHalfOpen: halfOpen,
    construct: (done) => {
      opening.then((opened) => {
        ({ channel, room } = opened);
        listen(channel, room);
        done();
      }, done);
    },
    read: () => void channel?.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (over || channel === undefined || room === undefined) {
        done();
        return;
      }
      written = () => {
        written = undefined;
        done();
      };
      room.write(() => {
        if (over) written?.();
        else channel?.write(chunk, () => written?.());
      });
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
  const listen = (opened: ClientChannel, { streams, read }: Room): void => {
    const held: Held = {
      unreadBytes: () => stream.readableLength + opened.readableLength,
      cutOff: () => stream.destroy(new Error("sent more than is kept for it")),
    };
    streams.add(held);
    stream.once("close", () => streams.delete(held));
    opened.on("error", (error: Error) => stream.destroy(error));
    opened.stderr.on("data", () => stream.destroy(new Error("sent what no channel of ours has")));
    opened.on("data", (chunk: Buffer) => {
      if (stream.destroyed) return;
      if (held.unreadBytes() > MAX_AHEAD_BYTES) held.cutOff();
      else if (!stream.push(chunk)) opened.pause();
      read(held);
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
