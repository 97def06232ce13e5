/**
 * Terminals: `machine exec -i -t` on a terminal of this host's that passes everything on as it is; in the guest a
 * program of ours sits at its other end, and is told over the channel what to start. Its size goes over the channel too,
 * because smolvm forwards none. One that provably did not begin is begun again.
 */
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { Duplex } from "node:stream";
import { createGuestClient, guestSocket } from "../../jail/guest-client.ts";
import { seatMark } from "../../jail/guest-protocol.ts";
import { createGuestServer } from "../../jail/guest-server.ts";
import { UserError } from "../../lib/errors.ts";
import { checkSocketPath } from "../../lib/paths.ts";
import type { Scope } from "../../lib/scope.ts";
import type { InTurn } from "./turns.ts";

/** For the beginning of one, several tries together. */
const BEGIN_TIMEOUT_MS = 15_000;
const PAUSE_MS = 50;
/** What smolvm may say before the guest's side speaks: a warning or two. */
const MAX_PREAMBLE_BYTES = 16 * 1024;
/** For as long as nobody in the guest has set it. */
const SIZE = { cols: 80, rows: 24 } as const;

/** Makes a terminal whose other end a seat sits at, by its token. */
export type OpenTerminal = (token: string, argv: readonly [string, ...string[]]) => Promise<Duplex>;

/** @param env what smolvm itself is run with. */
export async function terminalsOn(
  socketPath: string,
  env: Readonly<Record<string, string>>,
  inTurn: InTurn,
  scope: Scope,
): Promise<OpenTerminal> {
  // The same server that starts programs in guests: it knows how to keep a terminal until all is read.
  const server = createServer({ allowHalfOpen: true }, createGuestServer());
  await rm(checkSocketPath(socketPath), { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  server.on("error", () => {});
  scope.defer("terminals", () => {
    server.close();
  });
  const client = createGuestClient(guestSocket(socketPath));

  const begin = async (token: string, argv: readonly [string, ...string[]]): Promise<Duplex | undefined> => {
    const execution = await client.exec(["sh", "-c", 'stty raw -echo; exec "$@"', "sh", ...argv], {
      env: { ...env, TERM: "xterm-256color" },
      cwd: "/",
      tty: SIZE,
    });
    // With a terminal both are one stream.
    const stream = execution.stdin as Duplex;
    return (await sits(stream, token)) ? unread(stream) : undefined;
  };
  return (token, argv) =>
    inTurn(async () => {
      const deadline = performance.now() + BEGIN_TIMEOUT_MS;
      for (;;) {
        const stream = await begin(token, argv);
        if (stream !== undefined) return stream;
        if (performance.now() > deadline)
          throw new UserError("smolvm opened no terminal in the guest", { hint: "try again; bottle doctor" });
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    });
}

/** The same stream as nobody has read from it yet: one that was paused by an earlier reader flows for no later one. */
function unread(stream: Duplex): Duplex {
  const fresh = new Duplex({
    read: () => void stream.resume(),
    // A program that ended takes no more input, and what it wrote is still to be read.
    write: (chunk: Buffer, _encoding, done) => void stream.write(chunk, () => done()),
    final: (done) => void stream.end(() => done()),
    destroy(error, done) {
      stream.destroy();
      done(error);
    },
  });
  stream.on("data", (chunk: Buffer) => {
    if (!fresh.push(chunk)) stream.pause();
  });
  stream.on("end", () => fresh.push(null));
  stream.on("close", () => (stream.readableEnded ? undefined : fresh.destroy()));
  fresh.on("error", () => {});
  return fresh;
}

/** Whether somebody came to sit there, by the mark; what follows it stays in the stream. */
function sits(stream: Duplex, token: string): Promise<boolean> {
  const mark = Buffer.from(seatMark(token));
  return new Promise((resolve) => {
    let held: Buffer = Buffer.alloc(0);
    const settle = (outcome: boolean): void => {
      clearTimeout(timer);
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.pause();
      if (!outcome) stream.destroy();
      resolve(outcome);
    };
    const onEnd = (): void => settle(false);
    const timer = setTimeout(onEnd, BEGIN_TIMEOUT_MS);
    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      const at = held.indexOf(mark);
      if (at >= 0) {
        settle(true);
        const rest = held.subarray(at + mark.length);
        if (rest.length > 0) stream.unshift(rest);
      } else if (held.length > MAX_PREAMBLE_BYTES) settle(false);
    };
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("close", onEnd);
    stream.on("error", () => {});
    stream.resume();
  });
}
