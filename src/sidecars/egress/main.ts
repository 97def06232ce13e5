/**
 * The egress program: its configuration, with its secrets, comes as the first line of stdin, and nothing of
 * it is ever written out (I2). When stdin ends the keeper is gone, and egress with it (I9).
 */
import type { Server, Socket } from "node:net";
import * as z from "zod";
import { LISTENER_ROLES, type ListenerRole } from "../../contract/backend.ts";
import { type EgressConfig, egressConfigSchema, type FromSidecar } from "../../contract/sidecar.ts";
import { describeBug, explain, parseFields } from "../../lib/discreet-words.ts";
import { UserError } from "../../lib/errors.ts";
import { readLines } from "../../lib/json-lines.ts";
import { createReceipts } from "../../lib/receipts.ts";
import { type Egress, startEgress } from "./egress.ts";

/** The keeper hands the listeners over right after the configuration. */
const HANDOVER_MS = 10_000;
/** For a line to be on the log: a disk that is busy takes seconds, one that takes longer is as good as gone. */
const RECORDING_MS = 10_000;

const receipts = createReceipts();

const handoverSchema = z.object({ listener: z.literal("egress"), role: z.enum(LISTENER_ROLES) });

/** Runs until stdin ends or SIGTERM; ends the process itself. */
export async function runEgress(): Promise<void> {
  const inherited = expectListeners();
  process.stdout.on("error", () => process.exit(0));
  process.once("uncaughtException", (error) => fail(`a bug: ${describeBug(error)}`));
  const lines = readLines(process.stdin);
  try {
    const first = await lines.next();
    if (first.done) process.exit(0);
    const config = parseConfig(first.value);
    const listeners = await inherited(inheritedRoles(config));
    const egress = await startEgress(config, { emit, record, listeners });
    process.once("SIGTERM", () => void egress.drain().then(() => process.exit(0)));
    emit({ type: "ready", listening: [...egress.listening] });
    for await (const line of lines) await obey(egress, line);
    egress.stop();
    process.exit(0);
  } catch (error) {
    fail(explain(error));
  }
}

/** A sidecar's stdout is a pipe: node writes to it at once, in order. */
function emit(message: FromSidecar): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function record(event: string, data: object): Promise<void> {
  const send = (receipt: number): void => emit({ type: "event", event, data: { ...data }, receipt });
  return receipts.ask(send, RECORDING_MS);
}

function fail(text: string): never {
  emit({ type: "log", level: "error", text });
  process.exit(1);
}

function parseConfig(line: string): EgressConfig {
  const message = parseFields(line);
  if (message === undefined || message["type"] !== "config") {
    throw new UserError("the first line on stdin is not a config message");
  }
  return egressConfigSchema.parse(message["config"]);
}

async function obey(egress: Egress, line: string): Promise<void> {
  if (line.trim() === "") return;
  const message = parseFields(line);
  if (message?.["type"] === "recorded") {
    receipts.given(message["receipt"]);
    return;
  }
  if (message?.["type"] !== "reload") {
    emit({ type: "log", level: "error", text: "a line on stdin that is no message for egress was ignored" });
    return;
  }
  try {
    await egress.reload(message["policy"]);
    emit({ type: "reloaded" });
  } catch (error) {
    emit({ type: "reloaded", error: explain(error) });
  }
}

function inheritedRoles({ listen, direct }: EgressConfig): readonly ListenerRole[] {
  const wanted: Partial<Record<ListenerRole, EgressConfig["listen"]>> = { main: listen, ...direct };
  return LISTENER_ROLES.filter((role) => wanted[role]?.kind === "inherited");
}

type Listeners = ReadonlyMap<ListenerRole, Server>;

/** A client that comes before egress serves is closed at once: it would wait for nobody. */
function expectListeners(): (roles: readonly ListenerRole[]) => Promise<Listeners> {
  const close = (socket: Socket): void => void socket.destroy();
  const arrived = new Map<ListenerRole, Server>();
  let look: () => void = () => {};
  process.on("message", (message, handle) => {
    const parsed = handoverSchema.safeParse(message);
    if (!parsed.success || handle === undefined) return;
    const server = handle as Server;
    server.on("connection", close);
    arrived.set(parsed.data.role, server);
    look();
  });
  return (roles) => {
    if (roles.length === 0) return Promise.resolve(arrived);
    return new Promise((resolve, reject) => {
      const error = new UserError(`no listening handle within ${HANDOVER_MS} ms`);
      const timer = setTimeout(() => reject(error), HANDOVER_MS);
      look = () => {
        if (!roles.every((role) => arrived.has(role))) return;
        clearTimeout(timer);
        resolve(arrived);
      };
      look();
      // Sent before, they would be open before anybody looks at what they accept.
      process.send?.({ awaits: "egress" });
    });
  };
}
