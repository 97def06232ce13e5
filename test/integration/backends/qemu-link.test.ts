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
}

/** A guest that has its keys, and answers as `behave` says. */
function hostile(
  behave: (connection: Connection) => void = () => {},
  options: { otherKey?: boolean } = {},
): Hostile {
  const { keys } = makeIdentity({ hostname: "x", etc: {}, mounts: [] });
  const own = makeSshKeyPair();
  const server = new ssh2.Server({ hostKeys: [own.privateKey] });
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
    reach: () => Promise.reject(new Error("gone")),
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
  return { link, guest };
}

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
