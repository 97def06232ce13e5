/** The keeper's side of a micro-VM's link, against a guest that is hostile: a server of our own in its place. */
import { mkdtempSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import ssh2, { type Connection } from "ssh2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { awaitHello, synchronise, tellIdentity } from "../../../src/backends/qemu/greeting.ts";
import { makeIdentity } from "../../../src/backends/qemu/identity.ts";
import { roomOn } from "../../../src/backends/qemu/link-room.ts";
import { openSshLink, type SshLink } from "../../../src/backends/qemu/ssh-link.ts";
import { makeSshKeyPair } from "../../../src/bundle/private-key.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { bytesOf } from "../../support/bottle-guest.ts";

let folder: string;
let sidecar: Server;
let closing: (() => void)[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bbl-"));
  closing = [];
  sidecar = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => sidecar.listen(join(folder, "sidecar"), resolve));
});
afterEach(async () => {
  for (const close of closing) close();
  sidecar.close();
  await removeTree(folder);
});

/** Two ends of one wire. */
function wire(): readonly [Socket, Duplex] {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const end = (readable: PassThrough, writable: PassThrough): Duplex => Duplex.from({ readable, writable });
  return [end(back, there) as Socket, end(there, back)];
}

interface Hostile {
  readonly link: Promise<SshLink>;
  /** Of the guest's side, once it is authenticated. */
  readonly guest: Promise<Connection>;
  /** The port, and its other end. */
  readonly ours: Duplex;
  readonly theirs: Duplex;
}

interface Behaviour {
  readonly otherKey?: boolean;
  readonly ident?: string;
  /** Makes a lost connection anew: what was written to the new port goes to the same server. */
  readonly reach?: (server: ssh2.Server) => Socket;
}

/** A guest that has its keys, and answers as `behave` says. */
function hostile(behave: (connection: Connection) => void = () => {}, options: Behaviour = {}): Hostile {
  const { keys } = makeIdentity({ hostname: "x", etc: {}, mounts: [] });
  const own = makeSshKeyPair();
  const server = new ssh2.Server({
    hostKeys: [own.privateKey],
    ...(options.ident !== undefined && { ident: options.ident }),
  });
  const guest = new Promise<Connection>((resolve) => {
    server.on("connection", (connection) => {
      connection.on("error", () => {});
      connection.on("authentication", (context) => context.accept());
      connection.on("request", (accept, _reject, name) => name === "tcpip-forward" && accept?.());
      connection.on("ready", () => resolve(connection));
      behave(connection);
    });
  });
  const [ours, theirs] = wire();
  server.injectSocket(theirs as Socket);
  const link = openSshLink({
    port: ours,
    reach: async () => {
      if (options.reach === undefined) throw new Error("gone");
      return options.reach(server);
    },
    keys: {
      ...keys,
      hostKey:
        options.otherKey === true ? keys.hostKey : Buffer.from(own.publicKey.split(" ")[1] ?? "", "base64"),
    },
    services: new Map<number, () => string | undefined>([
      [9099, () => join(folder, "sidecar")],
      [9420, () => undefined],
    ]),
    lost: () => {},
  });
  link.then(
    (open) => closing.push(() => open.close()),
    () => {},
  );
  return { link, guest, ours, theirs };
}

/** What its library would not send by itself: of a connection, and of a channel of its side. */
interface Raw {
  channelEOF(id: number): void;
  channelExtData(id: number, data: Buffer, type: number): void;
  channelOpenConfirm(id: number, own: number, window: number, packetSize: number): void;
  channelWindowAdjust(id: number, bytes: number): void;
  readonly _cipher: { encrypt(packet: Uint8Array): void };
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number;
      alloc(length: number): Uint8Array;
      finalize(packet: Uint8Array): Uint8Array;
    };
  };
  rekey(): void;
}
const rawOf = (connection: Connection): Raw =>
  (connection as unknown as { readonly _protocol: Raw })._protocol;
const idOf = (channel: Duplex): number =>
  (channel as unknown as { readonly outgoing: { readonly id: number } }).outgoing.id;
const STDERR = 1;
const FEW_SECONDS = 3;

/** What the keeper's library wants proved, of a server that says that it is OpenSSH. */
function tellsKey(raw: Raw): void {
  const packet = raw._packetRW.write.alloc(TELLS_KEY.length);
  packet.set(TELLS_KEY, raw._packetRW.write.allocStart);
  raw._cipher.encrypt(raw._packetRW.write.finalize(packet));
}
const words = (value: Buffer): Buffer => Buffer.concat([Buffer.from([0, 0, 0, value.length]), value]);
const [, KEY = ""] = makeSshKeyPair().publicKey.split(" ");
const GLOBAL_REQUEST = Buffer.from([80]);
const NO_REPLY = Buffer.from([0]);
const TELLS_KEY = Buffer.concat([
  GLOBAL_REQUEST,
  words(Buffer.from("hostkeys-00@openssh.com")),
  NO_REPLY,
  words(Buffer.from(KEY, "base64")),
]);

/** What comes of a channel that the guest opens: "open", or why not. */
function opened(guest: Connection, port: number, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve) => {
    guest.forwardOut(host, port, "6.6.6.6", 1, (error, channel) => {
      channel?.on("error", () => {});
      channel?.resume();
      resolve(error === undefined ? "open" : "refused");
    });
  });
}

describe("a micro-VM's link", () => {
  it("leads the guest to a sidecar, and to nothing that nobody asked to be forwarded", async () => {
    const { link, guest } = hostile();
    await link;
    const there = await guest;
    expect(await opened(there, 9099)).toBe("open");
    expect(await opened(there, 22)).toBe("refused");
    expect(await opened(there, 9099, "0.0.0.0")).toBe("refused");
  });

  it("refuses at once what leads to a sidecar that is not there", async () => {
    const { link, guest } = hostile();
    await link;
    expect(await opened(await guest, 9420)).toBe("refused");
    sidecar.close();
    await removeTree(join(folder, "sidecar"));
    expect(await opened(await guest, 9099)).toBe("refused");
  });

  it("serves no more connections at once than it may", async () => {
    const { link, guest } = hostile();
    await link;
    const there = await guest;
    const outcomes = await Promise.all(Array.from({ length: 600 }, () => opened(there, 9099)));
    expect(outcomes.filter((each) => each === "open").length).toBeLessThanOrEqual(512);
    expect(outcomes.filter((each) => each === "open").length).toBeGreaterThan(400);
  }, 60_000);

  it("opens no window and lends no agent to the guest", async () => {
    const { link, guest } = hostile();
    await link;
    const there = await guest;
    const x11 = await new Promise((resolve) => there.x11("1.2.3.4", 1, (error) => resolve(error)));
    expect(x11).toBeInstanceOf(Error);
    const streamlocal = await new Promise((resolve) =>
      there.openssh_forwardOutStreamLocal("/run/x", (error) => resolve(error)),
    );
    expect(streamlocal).toBeInstanceOf(Error);
  });

  it("talks to no guest but the one whose key it made", async () => {
    const { link } = hostile(() => {}, { otherKey: true });
    await expect(link).rejects.toThrow(/host denied|verification/i);
  });

  it("has nothing that a guest could ask it to prove", async () => {
    const offered: string[] = [];
    const { link } = hostile((connection) => {
      connection.removeAllListeners("authentication");
      connection.on("authentication", (context) => {
        offered.push(context.method);
        context.reject(["publickey", "password", "keyboard-interactive", "hostbased"]);
      });
    });
    await expect(link).rejects.toThrow("authentication methods failed");
    expect(offered).toEqual(["none"]);
  });

  it("is not up while a forward is refused", async () => {
    const { link } = hostile((connection) => {
      connection.removeAllListeners("request");
      connection.on("request", (_accept, reject) => reject?.());
    });
    await expect(link).rejects.toThrow("does not forward its port");
  });

  it("carries on for others while one reader has stopped", async () => {
    const flood = Buffer.alloc(64 * 1024);
    const { link } = hostile((connection) => {
      connection.on("tcpip", (accept, _reject, { destPort }) => {
        const channel = accept();
        channel.on("error", () => {});
        if (destPort === 2) channel.end("hello");
        else {
          const write = (): void => {
            while (channel.write(flood)) {}
            channel.once("drain", write);
          };
          write();
        }
      });
    });
    const open = await link;
    const stopped = await open.dial(1000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await bytesOf(await open.dial(2))).toString()).toBe("hello");
    expect(stopped.readableLength).toBeLessThan(4 * 1024 * 1024);
    stopped.destroy();
  });

  it("regression: loses nothing of what is sent faster than it is read", async () => {
    const size = 8 * 1024 * 1024;
    const { link } = hostile((connection) => {
      connection.on("tcpip", (accept) => {
        const channel = accept();
        channel.on("error", () => {});
        channel.end(Buffer.alloc(size));
      });
    });
    const stream = await (await link).dial(1000);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await bytesOf(stream)).length).toBe(size);
  });

  it("keeps no more of many streams that nobody reads than is kept of all, and loses nothing of the others", async () => {
    const [count, size] = [160, 4 * 1024 * 1024];
    const flood = Buffer.alloc(size);
    const { link } = hostile((connection) => {
      connection.on("tcpip", (accept) => {
        const channel = accept();
        channel.on("error", () => {});
        channel.end(flood);
      });
    });
    const open = await link;
    const streams: Duplex[] = [];
    for (let i = 0; i < count; i++) streams.push((await open.dial(1000)).on("error", () => {}));
    const isOver = (stream: Duplex): boolean => stream.destroyed;
    await expect.poll(() => streams.some(isOver), { timeout: 30_000 }).toBe(true);
    const [kept] = streams.filter((stream) => !isOver(stream));
    if (kept === undefined) throw new Error("all of them were cut off");
    expect((await bytesOf(kept)).length).toBe(size);
    for (const stream of streams) stream.destroy();
  }, 60_000);

  it("says that nothing listens, and ends what was open when it is lost", async () => {
    const { link, guest } = hostile((connection) => {
      connection.on("tcpip", (accept, reject, { destPort }) => void (destPort === 5 ? accept() : reject()));
    });
    const open = await link;
    await expect(open.dial(6)).rejects.toBeInstanceOf(UserError);
    const stream = await open.dial(5);
    stream.on("error", () => {});
    const closed = new Promise((resolve) => stream.once("close", resolve));
    (await guest).end();
    await closed;
    await expect(open.dial(5)).rejects.toBeInstanceOf(UserError);
  });
});

describe("a guest that is its own SSH server", () => {
  /** Channels of the keeper's, as they are asked for. */
  const accepting = (on: (channel: Duplex, raw: Raw) => void) => (connection: Connection) =>
    void connection.on("tcpip", (accept) => {
      const channel = accept();
      channel.on("error", () => {}).resume();
      on(channel, rawOf(connection));
    });
  const closed = (stream: Duplex): Promise<unknown> =>
    new Promise((resolve) => stream.on("error", () => {}).once("close", resolve));

  it("ends nobody by words behind the end of a channel", async () => {
    const { link } = hostile(
      accepting((channel, raw) => {
        raw.channelEOF(idOf(channel));
        channel.write("behind it");
        raw.channelExtData(idOf(channel), Buffer.from("beside it"), STDERR);
      }),
    );
    const open = await link;
    const streams = await Promise.all([open.dial(5), open.dial(6)]);
    for (const stream of streams) stream.resume();
    expect(await opened(await hostile().guest, 22)).toBe("refused");
  });

  it("is cut off where it says what no channel of ours has, and none of that is kept", async () => {
    // Not a divisor of the window: at zero it would be passed over.
    const flood = Buffer.alloc(30_000);
    let send = (): void => {};
    const { link } = hostile(
      accepting((channel, raw) => {
        send = () => raw.channelExtData(idOf(channel), flood, STDERR);
      }),
    );
    const stream = await (await link).dial(5);
    const over = closed(stream);
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let i = 0; i < 200; i++) send();
    await over;
  });

  it("has nothing written to it in packets that hold nothing", async () => {
    const { link, guest } = hostile((connection) => {
      const raw = rawOf(connection);
      const confirm = raw.channelOpenConfirm.bind(raw);
      raw.channelOpenConfirm = (id, own, window) => confirm(id, own, window, 0);
      accepting(() => {})(connection);
    });
    const open = await link;
    await expect(open.dial(5)).rejects.toBeInstanceOf(UserError);
    const command = open.command(false);
    await closed(command);
    expect(await opened(await guest, 22)).toBe("refused");
  });

  it("is written to as fast as it listens, whatever it says that it would take", async () => {
    const { link, ours, theirs } = hostile(
      accepting((channel, raw) => {
        for (let i = 0; i < 8; i++) raw.channelWindowAdjust(idOf(channel), 2 ** 31);
      }),
    );
    const stream = await (await link).dial(5);
    await new Promise((resolve) => setTimeout(resolve, 100));
    theirs.pause();
    let taken = 0;
    const piece = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 500; i++) stream.write(piece, () => taken++);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken * piece.length + ours.writableLength).toBeLessThan(4 * 1024 * 1024);
    theirs.resume();
    await new Promise((resolve) => stream.end(resolve));
    expect(taken).toBe(500);
  });

  it("is not written to while it exchanges keys and does not come to an end with it", async () => {
    let raw: Raw | undefined;
    const { link, theirs } = hostile(
      accepting((_channel, its) => {
        raw = its;
      }),
    );
    const stream = await (await link).dial(5);
    await new Promise((resolve) => setTimeout(resolve, 100));
    raw?.rekey();
    // It has said that it wants new keys, and takes no part in it.
    theirs.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    let taken = 0;
    for (let i = 0; i < 100; i++) stream.write(Buffer.alloc(1024), () => taken++);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(taken).toBe(0);
    theirs.resume();
    await new Promise((resolve) => stream.end(resolve));
    expect(taken).toBe(100);
  });

  it("that ends each connection has few of them made anew", async () => {
    let made = 0;
    // Once it is made: by then it forwards what was asked for.
    const ends = (connection: Connection): void => {
      connection.once("request", () => setTimeout(() => connection.end(), 100));
    };
    const { link } = hostile(ends, {
      reach: (server) => {
        made += 1;
        const [ours, theirs] = wire();
        theirs.once("data", (chunk: Buffer) => {
          const [, nonce = ""] = /sync ([0-9a-f]{32})/.exec(chunk.toString("latin1")) ?? [];
          theirs.write(`BOTTLE synced ${nonce}\n`);
          server.injectSocket(theirs as Socket);
        });
        return ours;
      },
    });
    await link;
    await new Promise((resolve) => setTimeout(resolve, FEW_SECONDS * 1_000));
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThanOrEqual(FEW_SECONDS + 1);
  });

  it("is given up when it makes us ask and ask, and answers nothing", async () => {
    const { link, guest, ours } = hostile(
      accepting(() => {}),
      { ident: "OpenSSH_9" },
    );
    const over = closed(await (await link).dial(5));
    const raw = rawOf(await guest);
    const nothing = (): void => {};
    Object.assign(raw, { requestSuccess: nothing, requestFailure: nothing });
    for (let i = 0; i < 10_000 && !ours.destroyed; i++) {
      tellsKey(raw);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await over;
  });

  it("is given up when it asks and asks, and hears no answer", async () => {
    const port = new Duplex({ read() {}, write() {} });
    port.on("data", () => {});
    let given = 0;
    roomOn(port, new ssh2.Client(), () => given++);
    for (let i = 0; i < 100 && given === 0; i++) {
      // As its library answers: without looking at who reads.
      port.write(Buffer.alloc(1024 * 1024));
      port.push("a question");
      await new Promise((resolve) => setImmediate(resolve));
      expect(given).toBe(port.writableLength > 48 * 1024 * 1024 ? 1 : 0);
    }
    expect(given).toBe(1);
  });
});

describe("the words before it", () => {
  const { identity } = makeIdentity({ hostname: "x", etc: {}, mounts: [] });

  it("pass over what a lost connection left, and take not a byte of what follows", async () => {
    const [ours, theirs] = wire();
    theirs.once("data", (line: Buffer) => {
      const [, nonce] = /BOTTLE sync (\w+)/.exec(line.toString()) ?? [];
      theirs.write(
        Buffer.concat([Buffer.alloc(100_000, 7), Buffer.from(`\nBOTTLE synced ${"0".repeat(32)}\n`)]),
      );
      theirs.write(`BOTTLE synced ${nonce}\nSSH-2.0-next`);
    });
    await synchronise(ours);
    const next = await new Promise((resolve) => {
      ours.once("data", (chunk: Buffer) => resolve(chunk.toString()));
      ours.resume();
    });
    expect(next).toBe("SSH-2.0-next");
  });

  it("end with the guest's own reason, shown safely", async () => {
    const [ours, theirs] = wire();
    theirs.write("BOTTLE failed mount \u001b[31m/image\n");
    tellIdentity(ours, identity);
    await expect(synchronise(ours)).rejects.toThrow("could not start: mount \\u{1b}[31m/image");
  });

  it("are not waited for without end: neither in bytes", async () => {
    const [ours, theirs] = wire();
    const junk = Buffer.alloc(1024 * 1024, 1);
    for (let i = 0; i < 6; i++) theirs.write(junk);
    await expect(awaitHello(ours)).rejects.toThrow("does not come to the point");
  });
});
