/**
 * What starts the processes of a guest on the keeper's word. It runs inside, without any privilege, so everything
 * it starts inherits the guest's restrictions by construction. The agent runs under the same uid and may do to
 * this what it likes: it loses its own exec by it, and gains nothing.
 */
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { readFirstLine } from "../lib/first-line.ts";
import { writeJsonLine } from "../lib/json-lines.ts";
import { createStreamRendezvous } from "../lib/stream-rendezvous.ts";
import { execPiped } from "./guest-exec.ts";
import { probeTargets } from "./guest-probe.ts";
import { type Answer, type ExecHeader, type Header, MAX_HEADER_BYTES } from "./guest-protocol.ts";
import { execOnTerminal } from "./guest-terminal.ts";

/** A stream that is announced and never comes must not hold its exec for ever. */
const STREAM_WAIT_MS = 10_000;

/** @returns what serves a stream that came; where it came from is the caller's business. */
export function createGuestServer(): (stream: Duplex) => void {
  /** The streams of each exec, by its token and their number; and its seat. */
  const streams = createStreamRendezvous<Duplex>(STREAM_WAIT_MS);

  const exec = async (control: Duplex, header: ExecHeader): Promise<void> => {
    const { tty, token } = header;
    if (header.seated === true) {
      await execSeated(control, header, await streams.take(`${token}/seat`));
      return;
    }
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
  };

  const serve = async (socket: Duplex): Promise<void> => {
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
      case "seat":
        streams.give(`${header.token}/seat`, socket);
        return;
      case "dial":
        await dial(socket, header.port);
        return;
      case "probe":
        await answer(socket, { results: await probeTargets(header.targets, header.timeoutMs) });
        socket.end();
        return;
    }
  };

  return (socket) => {
    socket.on("error", () => {});
    serve(socket).catch(async (error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code;
      await answer(socket, { error: code ?? String(error) });
      socket.destroy();
    });
  };
}

function answer(socket: Duplex, value: Answer): Promise<void> {
  return writeJsonLine(socket, value);
}

/** Whoever sits at the terminal starts the program there: what is said is passed on, both ways. */
async function execSeated(control: Duplex, header: ExecHeader, seat: Duplex): Promise<void> {
  control.on("close", () => seat.destroy());
  seat.on("close", () => control.end());
  await writeJsonLine(seat, header);
  seat.pipe(control);
  control.pipe(seat);
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
