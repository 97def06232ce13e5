/**
 * One process per bottle, from launch to teardown. It reads its order from stdin, says on stdout how the
 * launch goes, and then serves its control socket until the agent has ended and everything is settled. It
 * outlives the terminal it was started from; killed, it takes sidecars and guest with it.
 */
import { readFile } from "node:fs/promises";
import type { Guest, TerminalSize } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { createScope, type Scope } from "../lib/scope.ts";
import { type AgentSession, createAgentSession } from "./agent-session.ts";
import type { BottleStatus, LaunchMessage, Settlement } from "./control-protocol.ts";
import {
  type ControlHandlers,
  failureOf,
  type LeftOut,
  type SessionEnds,
  serveControl,
} from "./control-server.ts";
import { type LaunchedBottle, type LaunchRequest, launchBottle } from "./launch.ts";
import { bindExecution, connectStreams } from "./session-streams.ts";
import { closeScope, settle, takeOutWork } from "./settlement.ts";

/** What `bottle start` and `bottle resume` write to a keeper's stdin, as one line. */
export interface KeeperOrder extends LaunchRequest {
  /** Start the agent without waiting for anybody to join. */
  readonly detach: boolean;
  /** The terminal the agent gets; absent for a headless one. */
  readonly tty: TerminalSize | undefined;
}

/** Somebody asked for the agent and went away before it began. */
const JOIN_TIMEOUT_MS = 60_000;
/** What a stopped agent gets to finish its sentence. */
const STOP_GRACE_MS = 3_000;

export async function runKeeper(): Promise<void> {
  process.stdout.on("error", () => {});
  process.stdin.on("error", () => {});
  for (const signal of ["SIGHUP", "SIGINT", "SIGPIPE"] as const) process.on(signal, () => {});
  const say = (message: LaunchMessage): Promise<void> => writeJsonLine(process.stdout, message);

  const lines = readJsonLines(process.stdin);
  const first = await lines.next();
  if (first.done) return;
  const order = first.value as KeeperOrder;

  const scope = createScope();
  let abandon: (error: Error) => void = () => {};
  const abandoned = new Promise<never>((_, reject) => {
    abandon = reject;
  });
  abandoned.catch(() => {});
  // Until the agent runs, the command that asked is the only one who knows of the bottle: without it, stop.
  lines.next().then(
    () => order.detach || abandon(new UserError("the launch was interrupted", { exitCode: 130 })),
    () => {},
  );
  const terminate = (): void => abandon(new UserError("the launch was stopped", { exitCode: 143 }));
  process.once("SIGTERM", terminate);

  let bottle: LaunchedBottle;
  try {
    bottle = await Promise.race([launch(order, say, scope), abandoned]);
  } catch (error) {
    const problems = await closeScope(scope);
    const failure = failureOf(error);
    await say({ failed: { ...failure, message: [failure.message, ...problems].join("\n") } });
    process.exitCode = failure.exitCode;
    return;
  }
  process.off("SIGTERM", terminate);
  await serve(order, bottle, scope, abandoned, say);
}

function launch(
  order: KeeperOrder,
  say: (message: LaunchMessage) => Promise<void>,
  scope: Scope,
): Promise<LaunchedBottle> {
  return launchBottle(
    order,
    {
      progress: (progress) => void say({ progress }),
      reserved: (id) => void say({ reserved: id }),
      // I8: without its log a bottle decides nothing any more, so it ends.
      logFailed: () => void process.emit("SIGTERM", "SIGTERM"),
    },
    scope,
  );
}

/** From ready to settled. */
async function serve(
  order: KeeperOrder,
  bottle: LaunchedBottle,
  scope: Scope,
  abandoned: Promise<never>,
  say: (message: LaunchMessage) => Promise<void>,
): Promise<void> {
  let phase: BottleStatus["phase"] = "ready";
  let agent: Promise<AgentSession> | undefined;
  let stopRequested: () => void = () => {};
  const stop = new Promise<void>((resolve) => {
    stopRequested = resolve;
  });
  let announce: (settlement: Settlement) => void = () => {};
  const settled = new Promise<Settlement>((resolve) => {
    announce = resolve;
  });
  let agentStarted: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    agentStarted = resolve;
  });

  const startAgent = (tty: TerminalSize | undefined): Promise<AgentSession> => {
    agent ??= beginAgent(order, bottle, tty).then((session) => {
      phase = "running";
      agentStarted();
      return session;
    });
    return agent;
  };

  const handlers: ControlHandlers = {
    status: () => ({
      id: bottle.id,
      agent: order.plan.agent.name,
      ...(order.plan.label !== undefined && { label: order.plan.label }),
      backend: order.plan.backend,
      startedAt: bottle.record.startedAt,
      keeperPid: process.pid,
      phase,
      sidecars: bottle.sidecars.map((sidecar) => ({
        name: sidecar.name,
        pid: sidecar.pid(),
        restarts: sidecar.restarts(),
      })),
    }),
    async exec(request, ends) {
      const [program, ...args] = request.argv as [string, ...string[]];
      await bottle.log.append("exec.started", { argv: request.argv, tty: request.tty !== undefined });
      const execution = await bottle.guest.exec([program, ...args], {
        ...(request.cwd !== undefined && { cwd: request.cwd }),
        ...(request.env !== undefined && { env: request.env }),
        ...(request.tty !== undefined && { tty: request.tty }),
      });
      const exit = await bindExecution(execution, ends, request.tty !== undefined);
      await bottle.log.append("exec.ended", { argv: request.argv, ...exit });
    },
    async agent(request, ends) {
      if (agent === undefined && !request.start) throw new UserError("the agent has not been started");
      const session = await startAgent(request.tty);
      await joinAgent(session, ends, request.tty, settled);
    },
    async dial(port, socket) {
      const target = await bottle.guest.dial(port);
      socket.write(`${JSON.stringify({ done: true })}\n`);
      connectStreams(target, socket);
    },
    async copyIn(from, to) {
      await bottle.guest.copyIn(from, to, { user: "agent" });
      await bottle.log.append("files.copied-in", { to });
    },
    async copyOut(from, to) {
      const leftOut: LeftOut[] = [];
      await bottle.guest.copyOut(from, to, (path, reason) => void leftOut.push({ path, reason }));
      await bottle.log.append("files.copied-out", { from, leftOut: leftOut.length });
      return leftOut;
    },
    exportWork: () => takeOutWork(bottle),
    async stop() {
      stopRequested();
      await settled;
    },
  };

  process.on("SIGTERM", stopRequested);
  // Outlives the bottle's own scope: whoever waits is told how it ended.
  const control = createScope();
  try {
    await serveControl(bottle.paths.socket, await readFile(bottle.paths.token, "utf8"), handlers, control);
    if (order.detach) (await startAgent(order.tty)).begin();
    await say({ ready: { id: bottle.id, fingerprint: bottle.authority.fingerprint } });
    if (!order.detach) await firstOf([begun, stop, abandoned, rejectAfter(JOIN_TIMEOUT_MS)]);
    const exit = await ending(agent, bottle.guest, stop);
    phase = "settling";
    announce(await settle(bottle, exit, scope));
  } catch (error) {
    phase = "settling";
    const exit = { kind: "lost", reason: messageOf(error) } as const;
    announce(await settle(bottle, exit, scope));
  }
  await closeScope(control);
}

async function firstOf(candidates: readonly Promise<unknown>[]): Promise<void> {
  await Promise.race(candidates);
}

function rejectAfter(milliseconds: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error("nobody joined the bottle")), milliseconds).unref();
  });
}

async function beginAgent(
  order: KeeperOrder,
  bottle: LaunchedBottle,
  tty: TerminalSize | undefined,
): Promise<AgentSession> {
  const { plan } = order;
  const argv =
    order.resume === undefined ? plan.provider.argv : (plan.provider.resumeArgv ?? plan.provider.argv);
  // I8: what is not on the log does not happen.
  await bottle.log.append("agent.started", { provider: plan.provider.name, headless: tty === undefined });
  const execution = await bottle.guest.exec(argv, { cwd: bottle.workdir, ...(tty !== undefined && { tty }) });
  return createAgentSession(execution, tty !== undefined, bottle.paths.agentLog);
}

async function joinAgent(
  session: AgentSession,
  ends: SessionEnds,
  size: TerminalSize | undefined,
  settled: Promise<Settlement>,
): Promise<void> {
  session.join(ends, size);
  await ends.reply({ started: true, tty: session.tty });
  ends.listen(
    (command) => {
      if ("kill" in command) session.kill(command.kill as NodeJS.Signals);
      else session.resize(command.resize);
    },
    () => {},
  );
  const exit = await session.exit;
  await session.finished;
  await ends.reply({ exit });
  await ends.reply({ settled: await settled });
}

/** However it comes: the agent ends, somebody stops the bottle, or the guest is gone. */
async function ending(
  agent: Promise<AgentSession> | undefined,
  guest: Guest,
  stop: Promise<void>,
): Promise<Settlement["exit"]> {
  const lost = guest.ended.then((reason) => ({ kind: "lost", reason }) as const);
  if (agent === undefined) {
    return Promise.race([lost, stop.then(() => ({ kind: "lost", reason: "stopped" }) as const)]);
  }
  const session = await agent;
  const ended = session.exit.then(async (exit) => {
    await session.finished;
    return exit;
  });
  const stopped = stop.then(async () => {
    session.kill("SIGTERM");
    const timer = new Promise<undefined>((resolve) =>
      setTimeout(() => resolve(undefined), STOP_GRACE_MS).unref(),
    );
    const exit = await Promise.race([ended, timer]);
    if (exit === undefined) session.kill("SIGKILL");
    return exit ?? ({ kind: "signalled", signal: "SIGKILL" } as const);
  });
  return Promise.race([ended, lost, stopped]);
}
