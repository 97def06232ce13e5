/**
 * A guest's server on the socket that is its file descriptor 4; started as `--stdio [port=path]…`, on streams that its
 * stdin and stdout carry, whose end is its own, and those ports of its loopback lead to those Unix sockets.
 */
import { createServer } from "node:net";
import { createMux } from "../../lib/mux.ts";
import { relayPorts } from "../guest-relay.ts";
import { createGuestServer } from "../guest-server.ts";

const LISTENER_FD = 4;
// The agent's, in every backend; the operator's own is for the operator's files.
process.umask(0o022);

const accept = createGuestServer();
const [mode, ...relays] = process.argv.slice(2);
if (mode === "--stdio") {
  await relayPorts(relays);
  void createMux(process.stdin, process.stdout, accept).ended.then(() => process.exit(0));
} else {
  const server = createServer({ allowHalfOpen: true }, accept);
  server.on("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  server.listen({ fd: LISTENER_FD });
}
