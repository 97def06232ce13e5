/**
 * The one channel between keeper and guest: SSH over a port of the machine that is no network. The guest is a hostile
 * server: its key was made by us and is the only one taken; it may open what we asked it to forward and nothing else,
 * and not too much of it; X11, agents, sessions and other sockets are refused. Names and sizes that it tells decide nothing,
 * and what it does not hear is not kept for it (link-room.ts).
 *
 * A connection that is lost is made anew, after both sides passed over what it left in the port.
 */
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import ssh2, { type Client } from "ssh2";
import { messageOf, UserError } from "../../lib/errors.ts";
import { channelStream, type Opened, taken } from "./channel-stream.ts";
import { synchronise } from "./greeting.ts";
import type { GuestKeys } from "./identity.ts";
import { type Room, roomOn } from "./link-room.ts";

/** Where the guest's command server accepts: see guest/server.pl. */
const COMMAND_PORT = 1;
const LOOPBACK = "127.0.0.1";
/** Connections of the guest to its sidecars at one time: more than a browser with an agent has. */
const MAX_SERVED = 512;
const HANDSHAKE_TIMEOUT_MS = 20_000;
/** Between attempts to make a lost connection anew; after the last one the guest is given up. */
const RECONNECT_PAUSES_MS = [0, 200, 1_000, 3_000] as const;
/** From the begin of one to that of the next: a guest that ends each of them must not keep a processor busy with handshakes. */
const RECONNECT_EVERY_MS = 1_000;

export interface SshLink {
  /** A connection to the guest's command server. */
  command(halfOpen: boolean): Duplex;
  /** A connection to a server on the guest's loopback. @throws UserError when nothing listens there. */
  dial(port: number): Promise<Duplex>;
  close(): void;
}

export interface SshLinkRequest {
  /** Synchronised and idle, for the first connection; further ones are made by `reach`. */
  readonly port: Socket;
  readonly reach: () => Promise<Socket>;
  readonly keys: GuestKeys;
  /** Guest ports that lead to sidecars, and to which socket each; undefined while nobody is there. */
  readonly services: ReadonlyMap<number, () => string | undefined>;
  /** The link could not be made anew. */
  readonly lost: (reason: string) => void;
}

interface Connection {
  readonly client: Client;
  readonly streams: Set<Duplex>;
  readonly room: Room;
}

/** @throws Error when the first connection cannot be made. */
export async function openSshLink(request: SshLinkRequest): Promise<SshLink> {
  let closed = false;
  let begun = performance.now();
  let current: Promise<Connection> = establish(request.port, request, onEnd);

  function onEnd(reason: string): void {
    if (closed) return;
    current = reconnect(reason);
    current.catch((error: unknown) => {
      if (!closed) request.lost(messageOf(error));
    });
  }

  async function reconnect(reason: string): Promise<Connection> {
    let last: unknown = new Error(reason);
    await pause(Math.max(0, begun + RECONNECT_EVERY_MS - performance.now()));
    for (const milliseconds of RECONNECT_PAUSES_MS) {
      await pause(milliseconds);
      if (closed) break;
      let port: Socket | undefined;
      begun = performance.now();
      try {
        port = await request.reach();
        await synchronise(port);
        return await establish(port, request, onEnd);
      } catch (error) {
        port?.destroy();
        last = error;
      }
    }
    throw new Error(`the link to the guest is lost: ${messageOf(last)}`);
  }

  const forward = async (port: number): Promise<{ opened: Opened; streams: Set<Duplex> }> => {
    const { client, streams, room } = await current;
    return new Promise((resolve, reject) => {
      try {
        client.forwardOut(LOOPBACK, 0, LOOPBACK, port, (error, channel) => {
          try {
            if (error !== undefined) reject(error);
            else resolve({ opened: taken(channel, room), streams });
          } catch (refusal) {
            reject(refusal);
          }
        });
      } catch (error) {
        // It ended in this moment.
        reject(error);
      }
    });
  };

  await current;
  return {
    command(halfOpen) {
      const opening = forward(COMMAND_PORT);
      const stream = channelStream(
        opening.then(({ opened }) => opened),
        halfOpen,
      );
      opening.then(
        ({ streams }) => void keep(stream, streams),
        () => {},
      );
      stream.on("error", () => {});
      stream.write(`${request.keys.secret}\n`);
      return stream;
    },
    async dial(port) {
      try {
        const { opened, streams } = await forward(port);
        return keep(channelStream(Promise.resolve(opened), true), streams);
      } catch (cause) {
        // Only a refused channel has a reason of the server's own.
        if (!(cause instanceof Error && "reason" in cause))
          throw new UserError("the guest is gone", { cause });
        throw new UserError(`nothing in the guest listens on port ${port}`, {
          hint: "start the server in the bottle first; it must listen on 127.0.0.1 or on all addresses",
          cause,
        });
      }
    },
    close() {
      closed = true;
      current.then(
        ({ client }) => client.destroy(),
        () => {},
      );
    },
  };
}

/** One SSH connection, with all of its forwards asked for. `ended` is called once, after this has resolved. */
async function establish(
  port: Socket,
  request: SshLinkRequest,
  ended: (reason: string) => void,
): Promise<Connection> {
  const client = new ssh2.Client();
  const streams = new Set<Duplex>();
  /** Asked for by the guest, and not answered yet: any number could come at once. */
  let opening = 0;
  let reason: string | undefined;
  const over = new Promise<string>((resolve) => {
    client.on("error", (error) => {
      reason ??= error.message;
      client.destroy();
    });
    client.once("close", () => {
      for (const stream of streams) stream.destroy(new Error("the link to the guest is lost"));
      resolve(reason ?? "it was closed");
    });
  });
  client.on("tcp connection", (details, accept, reject) => {
    // Where it says that it comes from is the guest's to say.
    const socketPath = request.services.get(details.destPort)?.();
    if (details.destIP !== LOOPBACK || socketPath === undefined || streams.size + opening >= MAX_SERVED) {
      reject();
      return;
    }
    opening += 1;
    const settled = <T>(settle: () => T): T => {
      opening -= 1;
      return settle();
    };
    const accepted = (): Duplex => {
      const opened = new Promise<Opened>((resolve) => resolve(taken(accept(), room)));
      return keep(channelStream(opened, true), streams);
    };
    serve(
      socketPath,
      () => settled(accepted),
      () => settled(reject),
    );
  });
  const ready = new Promise<void>((resolve) => client.once("ready", () => resolve()));
  client.connect({
    sock: port,
    username: "root",
    // Nobody else is at the other end of that port.
    authHandler: ["none"],
    hostVerifier: (key: Buffer) => key.equals(request.keys.hostKey),
    readyTimeout: HANDSHAKE_TIMEOUT_MS,
    algorithms: {
      kex: ["curve25519-sha256"],
      serverHostKey: ["ssh-ed25519"],
      cipher: ["chacha20-poly1305@openssh.com"],
      compress: ["none"],
    },
  });
  const room = roomOn(port, client, () => {
    reason ??= "the guest asks for more than it hears";
    port.destroy();
  });
  const failed = over.then((why) => {
    throw new Error(why);
  });
  failed.catch(() => {});
  try {
    await Promise.race([ready, failed]);
    await Promise.race([
      Promise.all([...request.services.keys()].map((each) => askForward(client, each))),
      failed,
    ]);
  } catch (error) {
    client.destroy();
    throw error;
  }
  void over.then(ended);
  return { client, streams, room };
}

function askForward(client: Client, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    client.forwardIn(LOOPBACK, port, (error) => {
      if (error === undefined) resolve();
      else reject(new Error(`the guest does not forward its port ${port}`));
    });
  });
}

/** Takes the guest's connection once the sidecar has taken ours; one that is not there is refused at once. */
function serve(path: string, accept: () => Duplex, reject: () => void): void {
  const socket = connect({ path, allowHalfOpen: true });
  let taken: Duplex | undefined;
  socket.on("error", (error) => {
    if (taken === undefined) reject();
    else taken.destroy(error);
  });
  socket.once("connect", () => {
    const stream = accept();
    taken = stream;
    stream.on("error", () => socket.destroy());
    // What was said before an end still arrives.
    stream.once("close", () => socket.destroySoon());
    socket.once("close", (hadError) => hadError && stream.destroy());
    stream.pipe(socket);
    socket.pipe(stream);
  });
}

function keep(stream: Duplex, streams: Set<Duplex>): Duplex {
  streams.add(stream);
  stream.once("close", () => streams.delete(stream));
  stream.on("error", () => {});
  return stream;
}
