/**
 * The supervise program: its configuration, with the bottle's bearer, comes as the first line of stdin. It is started
 * on first use: with the listener, the connections that the keeper accepted meanwhile may be handed over. When stdin
 * ends the keeper is gone, and supervise with it (I9).
 */
import { Server, Socket } from "node:net";
import * as z from "zod";
import { type SuperviseConfig, superviseConfigSchema } from "../../contract/approvals.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { describeBug, explain, parseFields } from "../../lib/discreet-words.ts";
import { UserError } from "../../lib/errors.ts";
import { readLines } from "../../lib/json-lines.ts";
import { type Supervise, startSupervise } from "./supervise.ts";

/** The keeper hands the listener over right after the configuration. */
const HANDOVER_MS = 10_000;

const handoverSchema = z.union([
  z.object({ listener: z.literal("supervise") }),
  z.object({ connection: z.literal("supervise") }),
]);

/** Runs until stdin ends or SIGTERM; ends the process itself. */
export async function runSupervise(): Promise<void> {
  const handed = expectHandles();
  process.stdout.on("error", () => process.exit(0));
  process.once("uncaughtException", (error) => fail(`a bug: ${describeBug(error)}`));
  const lines = readLines(process.stdin);
  try {
    const first = await lines.next();
    if (first.done) process.exit(0);
    const config = parseConfig(first.value);
    const listener = config.listen.kind === "inherited" ? await handed.listener() : undefined;
    const supervise = await startSupervise(config, { emit, ...(listener && { listener }) });
    handed.onConnection(supervise.accept);
    process.once("SIGTERM", () => void supervise.drain().then(() => process.exit(0)));
    emit({ type: "ready", listening: [...supervise.listening] });
    for await (const line of lines) obey(supervise, line);
    supervise.stop();
    process.exit(0);
  } catch (error) {
    fail(explain(error));
  }
}

/** A sidecar's stdout is a pipe: node writes to it at once, in order. */
function emit(message: FromSidecar): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function fail(text: string): never {
  emit({ type: "log", level: "error", text });
  process.exit(1);
}

function parseConfig(line: string): SuperviseConfig {
  const message = parseFields(line);
  if (message === undefined || message["type"] !== "config") {
    throw new UserError("the first line on stdin is not a config message");
  }
  return superviseConfigSchema.parse(message["config"]);
}

function obey(supervise: Supervise, line: string): void {
  if (line.trim() === "") return;
  const message = parseFields(line);
  switch (message?.["type"]) {
    case "reload":
      try {
        supervise.reload(message["policy"]);
        emit({ type: "reloaded" });
      } catch (error) {
        emit({ type: "reloaded", error: explain(error) });
      }
      return;
    case "answer":
      if (!supervise.answer(String(message["ask"]), message["answer"])) {
        emit({ type: "log", level: "warn", text: "an answer to no open question was ignored" });
      }
      return;
    default:
      emit({
        type: "log",
        level: "error",
        text: "a line on stdin that is no message for supervise was ignored",
      });
  }
}

interface Handed {
  listener(): Promise<Server>;
  /** Also of those that came before. */
  onConnection(serve: (socket: Socket) => void): void;
}

/** More than an agent opens while supervise starts. */
const MOST_EARLY = 16;

/** It is started by whoever comes first, so a client that comes before it serves is let wait. */
function expectHandles(): Handed {
  const early: Socket[] = [];
  let serve = (socket: Socket): void => {
    if (early.length < MOST_EARLY) early.push(socket);
    else socket.destroy();
  };
  let announce: (server: Server) => void = () => {};
  const arrived = new Promise<Server>((resolve) => {
    announce = resolve;
  });
  process.on("message", (message, handle) => {
    const parsed = handoverSchema.safeParse(message);
    if (!parsed.success) return;
    if ("connection" in parsed.data && handle instanceof Socket) {
      handle.on("error", () => {});
      serve(handle);
    } else if ("listener" in parsed.data && handle instanceof Server) {
      handle.on("connection", (socket: Socket) => {
        socket.on("error", () => {});
        serve(socket);
      });
      announce(handle);
    }
  });
  return {
    listener() {
      // Sent before, it would be open before anybody looks at what it accepts.
      process.send?.({ awaits: "supervise" });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        const error = new UserError(`no listening handle within ${HANDOVER_MS} ms`);
        timer = setTimeout(() => reject(error), HANDOVER_MS);
      });
      return Promise.race([arrived, late]).finally(() => clearTimeout(timer));
    },
    onConnection(accept) {
      serve = accept;
      for (const socket of early.splice(0)) accept(socket);
    },
  };
}
