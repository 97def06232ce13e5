/** A command's side of the control socket. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import type { ExitStatus, TerminalSize } from "../contract/backend.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { readFirstLine } from "../lib/first-line.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { type BottlePaths, bottlePaths, readRecord } from "./bottle-record.ts";
import {
  type BottleStatus,
  type ControlCommand,
  type ControlReply,
  type ControlRequest,
  replySchema,
  type Settlement,
} from "./control-protocol.ts";
import type { InboxView } from "./inbox-protocol.ts";

type RequestBody = ControlRequest extends infer R
  ? R extends { token: string }
    ? Omit<R, "token">
    : never
  : never;
type Stream = { readonly number: 0 | 1 | 2; readonly socket: Socket };

/** A keeper that lives answers at once; one that does not must not hold up a list of others. */
const STATUS_TIMEOUT_MS = 2_000;

export interface Keeper {
  readonly id: string;
  /** @throws UserError when it does not answer in time. */
  status(): Promise<BottleStatus>;
  /** One request with one answer. @throws UserError with the keeper's words. */
  ask(request: RequestBody): Promise<ControlReply>;
  /** What waits for the operator, and what was given. @throws UserError when it does not answer in time. */
  inbox(): Promise<InboxView>;
  /** The same now and after every change, until either side hangs up. */
  watchInbox(onView: (view: InboxView) => void): InboxWatch;
  dial(port: number): Promise<Socket>;
  session(
    request:
      | { op: "exec"; argv: readonly string[]; cwd?: string; env?: Record<string, string> }
      | { op: "agent"; start: boolean },
    tty?: TerminalSize,
  ): Promise<Session>;
}

export interface InboxWatch {
  /** Resolves when the bottle ended, the keeper died, or after {@link close}. */
  readonly ended: Promise<void>;
  close(): void;
}

export interface Session {
  /** With a terminal stdin and stdout are one socket, and there is no stderr. */
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket | undefined;
  /** Whether the other end is a terminal; for the agent that is as it was started. */
  readonly tty: boolean;
  readonly exit: Promise<ExitStatus>;
  /** Of the agent's session: how the bottle ended. Undefined for others, and when the keeper died. */
  readonly settled: Promise<Settlement | undefined>;
  send(command: ControlCommand): void;
  close(): void;
}

/** @throws UserError when there is no such bottle, or it is not running. */
export async function connectKeeper(id: string): Promise<Keeper> {
  const paths = bottlePaths(id);
  const keeper = await tryConnectKeeper(paths, id);
  if (keeper !== undefined) return keeper;
  await readRecord(paths);
  throw new UserError(`bottle ${id} is not running`, { hint: `bottle resume ${id}` });
}

/** @returns undefined when no keeper answers. */
export async function tryConnectKeeper(paths: BottlePaths, id: string): Promise<Keeper | undefined> {
  let token: string;
  try {
    token = await readFile(paths.token, "utf8");
    (await openSocket(paths.socket)).destroy();
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED", "ENOTDIR"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
  return createKeeper(id, paths.socket, token);
}

async function openSocket(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve();
    });
  });
  socket.on("error", () => {});
  return socket;
}

function createKeeper(id: string, path: string, token: string): Keeper {
  const open = async (request: RequestBody): Promise<Socket> => {
    const socket = await openSocket(path);
    await writeJsonLine(socket, { ...request, token });
    return socket;
  };
  const ask = async (request: RequestBody, timeoutMs?: number): Promise<ControlReply> => {
    const socket = await open(request);
    if (timeoutMs !== undefined) socket.setTimeout(timeoutMs, () => void socket.destroy());
    const reply = await nextReply(readJsonLines(socket));
    socket.destroy();
    return accepted(reply, id);
  };

  return {
    id,
    ask: (request) => ask(request),
    async status() {
      const reply = await ask({ op: "status" }, STATUS_TIMEOUT_MS);
      if (!("status" in reply)) throw new Error("the keeper did not tell its status");
      return reply.status;
    },
    async inbox() {
      const reply = await ask({ op: "inbox" }, STATUS_TIMEOUT_MS);
      if (!("inbox" in reply)) throw new Error("the keeper did not tell what waits");
      return reply.inbox;
    },
    watchInbox(onView) {
      const abort = new AbortController();
      const follow = async (): Promise<void> => {
        const socket = await open({ op: "inbox-watch" });
        abort.signal.addEventListener("abort", () => socket.destroy(), { once: true });
        if (abort.signal.aborted) socket.destroy();
        try {
          const replies = readJsonLines(socket);
          for (let reply = await nextReply(replies); reply !== undefined; reply = await nextReply(replies)) {
            const accepting = accepted(reply, id);
            if ("inbox" in accepting) onView(accepting.inbox);
          }
        } finally {
          socket.destroy();
        }
      };
      return { ended: follow().catch(() => {}), close: () => abort.abort() };
    },
    async dial(port) {
      const socket = await open({ op: "dial", port });
      accepted(replySchema.parse(JSON.parse(await readFirstLine(socket, 64 * 1024))), id);
      return socket;
    },
    async session(request, tty) {
      const session = randomBytes(16).toString("hex");
      const body = request.op === "exec" ? { ...request, argv: [...request.argv] } : request;
      const control = await open({ ...body, session, ...(tty !== undefined && { tty }) });
      const replies = readJsonLines(control);
      const streams = await Promise.all(
        ([0, 1, 2] as const).map(
          async (number): Promise<Stream> => ({
            number,
            socket: await open({ op: "stream", session, number }),
          }),
        ),
      );
      const [input, output, errors] = streams;
      if (input === undefined || output === undefined || errors === undefined) throw new Error("no streams");
      const close = (): void => {
        for (const { socket } of streams) socket.destroy();
        control.destroy();
      };
      let first: ControlReply;
      try {
        first = accepted(await nextReply(replies), id);
      } catch (error) {
        close();
        throw error;
      }
      const isTerminal = "started" in first && first.tty;
      const exit = nextReply(replies).then(
        (reply): ExitStatus =>
          reply !== undefined && "exit" in reply
            ? reply.exit
            : { kind: "lost", reason: "the bottle's keeper is gone" },
      );
      const settled = exit.then(async () => {
        const reply = await nextReply(replies);
        return reply !== undefined && "settled" in reply ? reply.settled : undefined;
      });
      settled.catch(() => {});
      return {
        stdin: input.socket,
        stdout: isTerminal ? input.socket : output.socket,
        stderr: isTerminal ? undefined : errors.socket,
        tty: isTerminal,
        exit,
        settled,
        send: (command) => void writeJsonLine(control, command),
        close,
      };
    },
  };
}

async function nextReply(lines: AsyncGenerator<unknown, void, void>): Promise<ControlReply | undefined> {
  try {
    const line = await lines.next();
    return line.done ? undefined : replySchema.parse(line.value);
  } catch {
    return undefined;
  }
}

function accepted(reply: ControlReply | undefined, id: string): ControlReply {
  if (reply === undefined)
    throw new UserError(`bottle ${id} hung up: it has just ended, or its keeper can open no more`, {
      hint: "bottle list",
    });
  if (!("error" in reply)) return reply;
  const { message, hint, exitCode } = reply.error;
  throw new UserError(message, { exitCode, ...(hint !== undefined && { hint }) });
}
