/**
 * Starts the processes of a guest on the keeper's word. It runs inside, without any privilege, so everything
 * it starts inherits the jail's restrictions by construction. The agent runs under the same uid and may do to
 * this program what it likes: it loses its own exec by it, and gains nothing.
 *
 * It accepts on the socket that is its file descriptor 4; started as `--stdio [port=path]…`, streams that its stdin and
 * stdout carry, whose end is its own, and those ports of its loopback lead to those Unix sockets.
 */
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { readFirstLine } from "../../lib/first-line.ts";
import { writeJsonLine } from "../../lib/json-lines.ts";
import { createMux } from "../../lib/mux.ts";
import { createStreamRendezvous } from "../../lib/stream-rendezvous.ts";
import { execPiped } from "../guest-exec.ts";
import { probeTargets } from "../guest-probe.ts";
import { type Answer, type ExecHeader, type Header, MAX_HEADER_BYTES } from "../guest-protocol.ts";
import { execOnTerminal } from "../guest-terminal.ts";

const LISTENER_FD = 4;
/** A stream that is announced and never comes must not hold its exec for ever. */
const STREAM_WAIT_MS = 10_000;

/** The streams of each exec, by its token and their number. */
const streams = createStreamRendezvous<Duplex>(STREAM_WAIT_MS);

function answer(socket: Duplex, value: Answer): Promise<void> {
  return writeJsonLine(socket, value);
}

async function exec(control: Duplex, header: ExecHeader): Promise<void> {
  const { tty, token } = header;
  if (tty === undefined) {
    const sockets = await Promise.all([0, 1, 2].map((number) => streams.take(`${token}/${number}`)));
    await execPiped(control, header, sockets);
    return;
  }
  const stream = await streams.take(`${token}/0`);
  try {
    await execOnTerminal(control, header, tty, stream);
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

async function dial(socket: Duplex, port: number): Promise<void> {
  const target = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("close", () => target.destroy());
  await new Promise<void>((resolve, reject) => {
    target.once("connect", resolve);
    target.once("error", reject);
  });
  target.on("error", () => socket.destroy());
  await answer(socket, { connected: true });
  target.pipe(socket);
  socket.pipe(target);
}

async function serve(socket: Duplex): Promise<void> {
  const header = JSON.parse(await readFirstLine(socket, MAX_HEADER_BYTES)) as Header;
  switch (header.kind) {
    case "watch":
      // Held open and not looked at again: its end is the end of this program.
      await answer(socket, { connected: true });
      return;
    case "flush":
      // Its files are the host's.
      await answer(socket, { connected: true });
      socket.end();
      return;
    case "exec":
      await exec(socket, header);
      return;
    case "stream":
      streams.give(`${header.token}/${header.number}`, socket);
      return;
    case "dial":
      await dial(socket, header.port);
      return;
    case "probe":
      await answer(socket, { results: await probeTargets(header.targets, header.timeoutMs) });
      socket.end();
      return;
  }
}

function accept(socket: Duplex): void {
  socket.on("error", () => {});
  serve(socket).catch(async (error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code;
    await answer(socket, { error: code ?? String(error) });
    socket.destroy();
  });
}

/** A port of the guest's loopback that leads to a Unix socket: a sidecar that is down refuses at once. */
function relay(port: number, path: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const service = connect({ path, allowHalfOpen: true });
    for (const [one, other] of [[client, service] as const, [service, client] as const]) {
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
}

const [mode, ...relays] = process.argv.slice(2);
if (mode === "--stdio") {
  for (const each of relays) {
    const [port = "", path = ""] = each.split("=");
    await relay(Number(port), path);
  }
  void createMux(process.stdin, process.stdout, accept).ended.then(() => process.exit(0));
} else {
  const server = createServer({ allowHalfOpen: true }, accept);
  server.on("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  server.listen({ fd: LISTENER_FD });
}
