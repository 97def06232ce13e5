/**
 * Leads ports of a guest's loopback to Unix sockets, for guests whose sockets are root's. Runs until its stdin ends.
 * Arguments: PORT=SOCKET each. Says `up` once all of them listen.
 */
import { relayPorts } from "../guest-relay.ts";

await relayPorts(process.argv.slice(2));
process.stdout.write("up\n");
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();
