/**
 * The keeper's control socket. It is in a folder only the operator may enter, and wants the token besides
 * (Node cannot tell who is at the other end). A connection that does not say what it wants in time is closed.
 */
import { timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf, UserError, unreachable } from "../lib/errors.ts";
import { readFirstLine } from "../lib/first-line.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { createStreamRendezvous } from "../lib/stream-rendezvous.ts";
import type { Watcher } from "./agent-session.ts";
import {
  type BottleStatus,
  type ControlCommand,
  type ControlReply,
  type ControlRequest,
  commandSchema,
  MAX_REQUEST_BYTES,
  requestSchema,
  type Settlement,
} from "./control-protocol.ts";
import type { Inbox } from "./inbox.ts";
import type { InboxView } from "./inbox-protocol.ts";

/** Local, and written in one go by our own client. */
const FIRST_LINE_TIMEOUT_MS = 10_000;
/** The three streams of a session are opened at once. */
const STREAM_TIMEOUT_MS = 10_000;
/** A client that has everything and does not hang up is not waited for. */
const LAST_WORDS_MS = 2_000;
/** One that has not read its last output yet may be paging through the first. */
const LAST_OUTPUT_MS = 60_000;
/** Commands of one operator at one bottle; each is one to four connections. */
const MAX_CONNECTIONS = 256;

export interface LeftOut {
  readonly path: string;
  readonly reason: string;
}

/** What the keeper does for each request; each throws UserError to refuse. */
export interface ControlHandlers {
  status(): BottleStatus;
  exec(request: Extract<ControlRequest, { op: "exec" }>, session: SessionEnds): Promise<void>;
  agent(request: Extract<ControlRequest, { op: "agent" }>, session: SessionEnds): Promise<void>;
  dial(port: number, socket: Socket): Promise<void>;
  copyIn(from: string, to: string): Promise<void>;
  /** Returns what did not come along. */
  copyOut(from: string, to: string): Promise<readonly LeftOut[]>;
  copyDisk(to: readonly string[], why: string): Promise<void>;
  exportWork(): Promise<Extract<ControlReply, { work: unknown }>["work"]>;
  /** Resolves when nothing but the keeper itself is left. */
  stop(): Promise<Settlement>;
  readonly inbox: Inbox;
  /** Lets a frozen bottle go on, whatever it was frozen by. */
  thaw(by: string): Promise<void>;
  /** Why nothing can be recorded for now. */
  readonly lack: UserError | undefined;
}

/** I8: all else is recorded, and is refused at once while it cannot be. */
const UNRECORDED: readonly ControlRequest["op"][] = [
  ...(["status", "stream", "agent", "stop", "thaw"] as const),
  ...(["inbox", "inbox-watch", "preview"] as const),
];

/** The far ends of a session. */
export interface SessionEnds extends Watcher {
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket;
  reply(message: ControlReply): Promise<void>;
  /** Each command as it comes; `onGone` when the client let go. */
  listen(onCommand: (command: ControlCommand) => void, onGone: () => void): void;
}

export async function serveControl(
  path: string,
  token: string,
  handlers: ControlHandlers,
  scope: Scope,
): Promise<void> {
  const streams = createStreamRendezvous<Socket>(STREAM_TIMEOUT_MS);
  const live = new Set<Socket>();
  const expected = Buffer.from(token);

  const authentic = (given: string): boolean => {
    const bytes = Buffer.from(given);
    return bytes.length === expected.length && timingSafeEqual(bytes, expected);
  };

  const sessionEnds = async (control: Socket, session: string): Promise<SessionEnds> => {
    const [stdin, stdout, stderr] = await Promise.all(
      [0, 1, 2].map((number) => streams.take(`${session}/${number}`)),
    );
    if (stdin === undefined || stdout === undefined || stderr === undefined)
      throw new Error("a stream is missing");
    return {
      stdin,
      stdout,
      stderr,
      reply: (message) => writeJsonLine(control, message),
      listen(onCommand, onGone) {
        (async () => {
          for await (const line of readJsonLines(control)) onCommand(commandSchema.parse(line));
        })().then(onGone, () => {
          control.destroy();
          onGone();
        });
      },
    };
  };

  const { inbox } = handlers;
  const handle = async (socket: Socket, request: ControlRequest): Promise<ControlReply | undefined> => {
    if (handlers.lack !== undefined && !UNRECORDED.includes(request.op)) throw handlers.lack;
    switch (request.op) {
      case "status":
        return { status: handlers.status() };
      case "exec": {
        const ends = await sessionEnds(socket, request.session);
        await handlers.exec(request, ends).finally(() => hangUp(ends));
        socket.end();
        return undefined;
      }
      case "agent": {
        const ends = await sessionEnds(socket, request.session);
        await handlers.agent(request, ends).finally(() => hangUp(ends));
        socket.end();
        return undefined;
      }
      case "stream":
        streams.give(`${request.session}/${request.number}`, socket);
        return undefined;
      case "dial":
        await handlers.dial(request.port, socket);
        return undefined;
      case "copy-in":
        await handlers.copyIn(request.from, request.to);
        return { done: true };
      case "copy-out":
        return { done: true, leftOut: [...(await handlers.copyOut(request.from, request.to))] };
      case "copy-disk":
        await handlers.copyDisk(request.to, request.why);
        return { done: true };
      case "export":
        return { work: await handlers.exportWork() };
      case "stop":
        return { settled: await handlers.stop() };
      case "inbox":
        return { inbox: inboxView(handlers) };
      case "inbox-watch":
        await watchInbox(socket, handlers);
        return undefined;
      case "preview":
        return { preview: inbox.preview(request.ticket, request.ask) };
      case "approve":
        await inbox.approve(request);
        return { done: true };
      case "deny":
        await inbox.deny(request);
        return { done: true };
      case "revoke":
        await inbox.revoke(request);
        return { done: true };
      case "freeze":
        await inbox.freeze(request.by, request.reason);
        return { done: true };
      case "thaw":
        await handlers.thaw(request.by);
        return { done: true };
      default:
        return unreachable(request);
    }
  };

  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    live.add(socket);
    socket.once("close", () => live.delete(socket));
    const timer = setTimeout(() => socket.destroy(), FIRST_LINE_TIMEOUT_MS);
    readFirstLine(socket, MAX_REQUEST_BYTES)
      .finally(() => clearTimeout(timer))
      .then(async (line) => {
        const request = requestSchema.parse(JSON.parse(line));
        if (!authentic(request.token)) throw new UserError("wrong token");
        const reply = await handle(socket, request);
        if (reply !== undefined) socket.end(`${JSON.stringify(reply)}\n`);
      })
      .catch(async (error: unknown) => {
        await writeJsonLine(socket, { error: failureOf(error) });
        socket.destroySoon();
      });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  scope.defer("control socket", async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await removeTree(path);
    const hangUpOn = (sockets: Iterable<Socket>): void => {
      for (const socket of sockets) socket.destroy();
    };
    const timers = [
      setTimeout(
        () => hangUpOn([...live].filter(({ writableLength }) => writableLength === 0)),
        LAST_WORDS_MS,
      ),
      setTimeout(() => hangUpOn(live), LAST_OUTPUT_MS),
    ];
    await closed;
    for (const timer of timers) clearTimeout(timer);
  });
}

function inboxView({ status, inbox }: ControlHandlers): InboxView {
  const { id, agent, label } = status();
  return { bottle: id, agent, ...(label !== undefined && { label }), ...inbox.view() };
}

/** A line now and one for each change; a reader that is slow gets the latest, and not all that it missed. */
async function watchInbox(socket: Socket, handlers: ControlHandlers): Promise<void> {
  let isStale = false;
  let isWriting = false;
  const tell = async (): Promise<void> => {
    isStale = true;
    if (isWriting) return;
    isWriting = true;
    while (isStale && !socket.destroyed) {
      isStale = false;
      await writeJsonLine(socket, { inbox: inboxView(handlers) });
    }
    isWriting = false;
  };
  const end = handlers.inbox.watch(() => void tell().catch(() => socket.destroy()));
  socket.resume();
  const gone = new Promise<void>((resolve) => {
    for (const event of ["end", "close"] as const) socket.once(event, () => resolve());
  });
  await tell();
  await gone;
  end();
  socket.destroySoon();
}

/** Sockets that may be half open stay until both sides end them: what is written goes out, then they close. */
function hangUp(ends: SessionEnds): void {
  for (const stream of [ends.stdin, ends.stdout, ends.stderr]) stream.destroySoon();
}

async function listen(server: Server, path: string): Promise<void> {
  // Left by a keeper that was killed: whoever holds the bottle's lock is alone with this path.
  await removeTree(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
}

export function failureOf(error: unknown): { message: string; hint?: string; exitCode: number } {
  if (error instanceof UserError) {
    return {
      message: error.message,
      exitCode: error.exitCode,
      ...(error.hint !== undefined && { hint: error.hint }),
    };
  }
  return { message: messageOf(error), exitCode: 1 };
}
