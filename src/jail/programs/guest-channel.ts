/**
 * A guest's server for those who reach it by this program's stdin and stdout alone. First each side shows that every
 * byte comes through; from then on both carry streams. Seats find it by its socket.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMux } from "../../lib/mux.ts";
import { EVERY_BYTE, type Greeting, readExactly } from "../channel-greeting.ts";
import { createGuestServer } from "../guest-server.ts";

// The agent's alone, like everything that is the agent's.
const folder = mkdtempSync(join(tmpdir(), "bottle-"));
const socket = join(folder, "guest.sock");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const accept = createGuestServer();
const seats = createServer({ allowHalfOpen: true }, accept);
seats.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
await new Promise<void>((resolve) => seats.listen(socket, resolve));
const came = await readExactly(process.stdin, EVERY_BYTE.length);
process.stdout.write(EVERY_BYTE);
const greeting: Greeting = { whole: came.equals(EVERY_BYTE), socket };
process.stdout.write(`${JSON.stringify(greeting)}\n`);
const { ended } = createMux(process.stdin, process.stdout, accept);
// The greeting's reader left it paused.
process.stdin.resume();
await ended;
process.exit(0);
