/**
 * The git-gate program: its configuration, with its secrets, comes as the first line of stdin, and nothing of it is
 * ever written out (I2). When stdin ends the keeper is gone, and the gate with it (I9).
 */
import type { Server, Socket } from "node:net";
import * as z from "zod";
import { type GitGateConfig, gitGateConfigSchema } from "../../contract/git-gate.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { describeBug, explain, parseFields } from "../../lib/discreet-words.ts";
import { UserError } from "../../lib/errors.ts";
import { readLines } from "../../lib/json-lines.ts";
import { createReceipts } from "../../lib/receipts.ts";
import { type Gate, startGate } from "./gate.ts";

/** The keeper hands the listener over right after the configuration. */
const HANDOVER_MS = 10_000;

/** For a line to be on the log: a disk that is busy takes seconds, one that takes longer is as good as gone. */
const RECORDING_MS = 10_000;

const receipts = createReceipts();

const handoverSchema = z.object({ listener: z.literal("git-gate") });

/** Runs until stdin ends or SIGTERM; ends the process itself. */
export async function runGitGate(): Promise<void> {
  const inherited = expectListener();
  process.stdout.on("error", () => process.exit(0));
  process.once("uncaughtException", (error) => fail(`a bug: ${describeBug(error)}`));
  const lines = readLines(process.stdin);
  try {
    const first = await lines.next();
    if (first.done) process.exit(0);
    const config = parseConfig(first.value);
    const listener = config.listen.kind === "inherited" ? await inherited() : undefined;
    const gate = await startGate(config, { emit, record, ...(listener && { listener }) });
    process.once("SIGTERM", () => void gate.drain().then(() => process.exit(0)));
    emit({ type: "ready", listening: [...gate.listening] });
    for await (const line of lines) await obey(gate, line);
    gate.stop();
    process.exit(0);
  } catch (error) {
    fail(explain(error));
  }
}

/** A sidecar's stdout is a pipe: node writes to it at once, in order. */
function emit(message: FromSidecar): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function record(event: string, data: Readonly<Record<string, unknown>>): Promise<void> {
  return receipts.ask((receipt) => emit({ type: "event", event, data, receipt }), RECORDING_MS);
}

function fail(text: string): never {
  emit({ type: "log", level: "error", text });
  process.exit(1);
}

function parseConfig(line: string): GitGateConfig {
  const message = parseFields(line);
  if (message === undefined || message["type"] !== "config") {
    throw new UserError("the first line on stdin is not a config message");
  }
  return gitGateConfigSchema.parse(message["config"]);
}

async function obey(gate: Gate, line: string): Promise<void> {
  if (line.trim() === "") return;
  const message = parseFields(line);
  switch (message?.["type"]) {
    case "reload":
      try {
        await gate.reload(message["policy"]);
        emit({ type: "reloaded" });
      } catch (error) {
        emit({ type: "reloaded", error: explain(error) });
      }
      return;
    case "recorded":
      receipts.given(message["receipt"]);
      return;
    case "answer":
      if (!gate.answer(String(message["ask"]), message["answer"])) {
        emit({ type: "log", level: "warn", text: "an answer to no open question was ignored" });
      }
      return;
    default:
      emit({
        type: "log",
        level: "error",
        text: "a line on stdin that is no message for git-gate was ignored",
      });
  }
}

/** A client that comes before the gate serves is closed at once: it would wait for nobody. */
function expectListener(): () => Promise<Server> {
  const close = (socket: Socket): void => void socket.destroy();
  let announce: (server: Server) => void = () => {};
  const arrived = new Promise<Server>((resolve) => {
    announce = resolve;
  });
  process.on("message", (message, handle) => {
    if (!handoverSchema.safeParse(message).success || handle === undefined) return;
    const server = handle as Server;
    server.on("connection", close);
    announce(server);
  });
  return () => {
    // Sent before, it would be open before anybody looks at what it accepts.
    process.send?.({ awaits: "git-gate" });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new UserError(`no listening handle within ${HANDOVER_MS} ms`);
      timer = setTimeout(() => reject(error), HANDOVER_MS);
    });
    return Promise.race([arrived, late]).finally(() => clearTimeout(timer));
  };
}
