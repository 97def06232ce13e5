/**
 * What every sidecar's program is around what it does: its configuration, with its secrets, comes as the first line of
 * stdin, and nothing of it is ever written out (I2). When stdin ends the keeper is gone, and the program with it (I9).
 * The messages are those of the contract.
 */
import { Server, Socket } from "node:net";
import * as z from "zod";
import { describeBug, explain, parseFields } from "./discreet-words.ts";
import { UserError } from "./errors.ts";
import { readLines } from "./json-lines.ts";
import { createReceipts } from "./receipts.ts";

/** What the program has of its keeper. */
export interface Keeper {
  emit(message: object): void;
  /** Resolves once the event is on the log; rejects when that cannot be said (I8). */
  record(event: string, data: object): Promise<void>;
  /** Says why on the log, and ends the program: whoever started it starts another, with back-off. */
  fail(why: string): never;
  /** The listeners that were handed over, by role. */
  readonly listeners: ReadonlyMap<string, Server>;
}

export interface Serving {
  /** Addresses really bound. */
  readonly listening: readonly string[];
  /** @throws what {@link explain} can put into words; the old policy stays. */
  reload(policy: unknown): void | Promise<void>;
  /** False when nobody asked, or it is no answer. Absent: it asks nothing. */
  answer?(ask: string, answer: unknown): boolean;
  /** A connection that was accepted before this was there. Absent: such are closed, and wait for nobody. */
  accept?(socket: Socket): void;
  drain(): Promise<void>;
  stop(): void;
}

export interface Program<C> {
  readonly name: string;
  readonly config: z.ZodType<C>;
  /** Of the listeners that it waits for. */
  readonly roles: (config: C) => readonly string[];
  /** Whoever comes early waits: the program is started by its first client. */
  readonly letsWait?: boolean;
  readonly start: (config: C, keeper: Keeper) => Promise<Serving>;
}

/** The keeper hands the listeners over right after the configuration. */
const HANDOVER_MS = 10_000;
/** For a line to be on the log: a disk that is busy takes seconds, one that takes longer is as good as gone. */
const RECORDING_MS = 10_000;
/** More than an agent opens while a program starts. */
const MOST_EARLY = 16;

/** Runs until stdin ends or SIGTERM; ends the process itself. */
export async function runSidecar<C>(program: Program<C>): Promise<void> {
  const handles = expectHandles(program);
  const receipts = createReceipts();
  process.stdout.on("error", () => process.exit(0));
  process.once("uncaughtException", (error) => fail(`a bug: ${describeBug(error)}`));
  const record: Keeper["record"] = (event, data) =>
    receipts.ask((receipt) => emit({ type: "event", event, data: { ...data }, receipt }), RECORDING_MS);
  const lines = readLines(process.stdin);
  try {
    const first = await lines.next();
    if (first.done) process.exit(0);
    const config = program.config.parse(configIn(first.value));
    const listeners = await handles.listeners(program.roles(config));
    const serving = await program.start(config, { emit, record, fail, listeners });
    if (serving.accept !== undefined) handles.serve((socket) => serving.accept?.(socket));
    process.once("SIGTERM", () => void serving.drain().then(() => process.exit(0)));
    emit({ type: "ready", listening: [...serving.listening] });
    for await (const line of lines) {
      if (line.trim() !== "") await obey(program.name, serving, receipts.given, parseFields(line));
    }
    serving.stop();
    process.exit(0);
  } catch (error) {
    fail(explain(error));
  }
}

/** A sidecar's stdout is a pipe: node writes to it at once, in order. */
function emit(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function log(level: "warn" | "error", text: string): void {
  emit({ type: "log", level, text });
}

function fail(text: string): never {
  log("error", text);
  process.exit(1);
}

function configIn(line: string): unknown {
  const message = parseFields(line);
  if (message?.["type"] === "config") return message["config"];
  throw new UserError("the first line on stdin is not a config message");
}

async function obey(
  name: string,
  serving: Serving,
  recorded: (receipt: unknown) => void,
  message: Record<string, unknown> | undefined,
): Promise<void> {
  const type = message?.["type"];
  if (type === "recorded") recorded(message?.["receipt"]);
  else if (type === "reload") {
    try {
      await serving.reload(message?.["policy"]);
      emit({ type: "reloaded" });
    } catch (error) {
      emit({ type: "reloaded", error: explain(error) });
    }
  } else if (type === "answer" && serving.answer !== undefined) {
    if (!serving.answer(String(message?.["ask"]), message?.["answer"]))
      log("warn", "an answer to no open question was ignored");
  } else log("error", `a line on stdin that is no message for ${name} was ignored`);
}

interface Handles {
  /** Those of all roles, once they are there. */
  listeners(roles: readonly string[]): Promise<ReadonlyMap<string, Server>>;
  /** Every connection that was let wait, and those that are still handed over. */
  serve(accept: (socket: Socket) => void): void;
}

function expectHandles({ name, letsWait = false }: Pick<Program<unknown>, "name" | "letsWait">): Handles {
  const listener = z.object({ listener: z.literal(name), role: z.string().default("main") });
  const connection = z.object({ connection: z.literal(name) });
  const arrived = new Map<string, Server>();
  const early: Socket[] = [];
  let look = (): void => {};
  let take = (socket: Socket): void => {
    socket.on("error", () => {});
    if (letsWait && early.length < MOST_EARLY) early.push(socket);
    else socket.destroy();
  };
  process.on("message", (message, handle) => {
    const handed = listener.safeParse(message);
    if (handed.success && handle instanceof Server) {
      handle.on("connection", (socket: Socket) => take(socket));
      arrived.set(handed.data.role, handle);
      look();
    } else if (connection.safeParse(message).success && handle instanceof Socket) take(handle);
  });
  return {
    listeners(roles) {
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
        process.send?.({ awaits: name });
      });
    },
    serve(accept) {
      take = accept;
      for (const socket of early.splice(0)) accept(socket);
    },
  };
}
