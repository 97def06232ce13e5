/** Egress as the process it is in a bundle: configured over stdin, its listener handed over by IPC. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Server } from "node:net";
import { type FromSidecar, fromSidecarSchema } from "../../src/contract/sidecar.ts";
import { readLines } from "../../src/lib/json-lines.ts";
import { packagePath } from "../../src/lib/package-root.ts";
import { until } from "./egress.ts";

/** As the bundle starts it. */
const PROGRAM = [
  ...["--max-old-space-size=256", "--disallow-code-generation-from-strings"],
  ...[packagePath("dist/bottle.js"), "sidecar", "egress"],
];

export interface EgressProcess {
  readonly child: ChildProcess;
  /** Every line it wrote, as text: what a keeper could ever have stored. */
  readonly lines: readonly string[];
  readonly messages: readonly FromSidecar[];
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  stderr(): string;
  send(message: unknown): void;
  /** Sends a line as it is. */
  sendLine(line: string): void;
  handOver(listener: Server, as?: string, role?: string): void;
  /** The first message of this type from now on, or that has come already. */
  next<T extends FromSidecar["type"]>(type: T): Promise<Extract<FromSidecar, { type: T }>>;
}

/** @param keepsLog whether it is told that what it wants recorded is, as a keeper tells it. */
export function startEgressProcess(keepsLog = true): EgressProcess {
  const child = spawn(process.execPath, PROGRAM, {
    stdio: ["pipe", "pipe", "pipe", "ipc"],
    env: {},
  });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("no pipes");
  const lines: string[] = [];
  const messages: FromSidecar[] = [];
  let errors = "";
  stdin.on("error", () => {});
  stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  void (async () => {
    for await (const line of readLines(stdout)) {
      lines.push(line);
      const message = fromSidecarSchema.parse(JSON.parse(line));
      messages.push(message);
      if (keepsLog && message.type === "event" && message.receipt !== undefined)
        stdin.write(`${JSON.stringify({ type: "recorded", receipt: message.receipt })}\n`);
    }
  })();
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  const sendLine = (line: string): void => void stdin.write(`${line}\n`);
  const read: Partial<Record<FromSidecar["type"], number>> = {};
  return {
    child,
    lines,
    messages,
    ended,
    stderr: () => errors,
    sendLine,
    send: (message) => sendLine(JSON.stringify(message)),
    handOver: (listener, as = "egress", role = "main") => void child.send({ listener: as, role }, listener),
    async next(type) {
      const index = read[type] ?? 0;
      read[type] = index + 1;
      const of = () => messages.filter((message) => message.type === type);
      await until(() => of().length > index || child.exitCode !== null, 30_000);
      const found = of()[index];
      if (found === undefined) throw new Error(`egress ended: ${lines.join("\n")}\n${errors}`);
      return found as Extract<FromSidecar, { type: typeof type }>;
    },
  };
}
