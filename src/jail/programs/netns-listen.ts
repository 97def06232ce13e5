/**
 * Runs for a moment inside a guest's network namespace, before any guest code does: listens on the ports in
 * its arguments (127.0.0.1) and sends each listening handle to its parent, in order. From then on whoever
 * holds a handle accepts the guest's connections, in the host's network.
 *
 * I9: until its parent has taken a handle, it holds it too, and Node tells nobody who waits for that of a parent that
 * was killed. So it is started to die with its parent, and ends by itself when that one lives and takes nothing.
 */
import { createServer } from "node:net";

/** Less than what its parent gives it, which is nothing while that one is stopped. It takes some 60 ms. */
const DEADLINE_MS = 10_000;

const send = process.send?.bind(process);
if (send === undefined) throw new Error("netns-listen needs an IPC channel");
setTimeout(() => process.exit(1), DEADLINE_MS);

for (const port of process.argv.slice(2).map(Number)) {
  await new Promise<void>((resolve, reject) => {
    // Paused and unref'd by nobody: a connection that comes before the handle moves on stays in its backlog.
    const server = createServer({ pauseOnConnect: true });
    server.on("error", reject);
    server.listen(port, "127.0.0.1", () => {
      send({ port }, server, { keepOpen: false }, (error) => (error === null ? resolve() : reject(error)));
    });
  });
}
process.disconnect();
process.exit(0);
