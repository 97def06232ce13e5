/** What can be reached from here: connects, or asks a name server's question, and says what came of it. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type { ProbeResult, ProbeTarget } from "../contract/backend.ts";

export function probeTargets(
  targets: readonly ProbeTarget[],
  timeoutMs: number,
): Promise<readonly ProbeResult[]> {
  return Promise.all(
    targets.map(async (target) => {
      const started = performance.now();
      const reach = target.transport === "tcp" ? reachTcp : reachUdp;
      const outcome = await reach(target.host, target.port, timeoutMs);
      return { ...target, outcome, milliseconds: performance.now() - started };
    }),
  );
}

function reachTcp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: string): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    socket.once("connect", () => settle("answered"));
    socket.setTimeout(timeoutMs, () => afterNews(() => settle("timeout")));
  });
}

/** A DNS question for the root's name servers: what a resolver would answer. */
const DNS_QUESTION = Buffer.from("b077010000010000000000000000020001", "hex");

function reachUdp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => afterNews(() => settle("timeout")), timeoutMs);
    let settled = false;
    const settle = (outcome: string): void => {
      // A refusal can be heard twice, and closing twice throws.
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    socket.once("message", () => settle("answered"));
    // A connected socket hears the kernel's refusal; an unconnected one would wait for the time-out.
    socket.connect(port, host, (error?: Error) => {
      if (error) settle((error as NodeJS.ErrnoException).code ?? error.message);
      else socket.send(DNS_QUESTION);
    });
  });
}

/** A process that was not let run for all that time finds its timer due before it has heard what came. */
function afterNews(then: () => void): void {
  setImmediate(then);
}
