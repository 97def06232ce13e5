/**
 * One process per bottle, from launch to teardown. It reads its order from stdin, says on stdout how the
 * launch goes, and then serves its control socket until the agent has ended and everything is settled. It
 * outlives the terminal it was started from; killed, it takes sidecars and guest with it.
 */
import { readFile } from "node:fs/promises";
import type { ExitStatus, Guest, TerminalSize } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { pending } from "../lib/pending.ts";
import { createScope, type Scope } from "../lib/scope.ts";
import { type AgentSession, createAgentSession } from "./agent-session.ts";
import type { BottleStatus, LaunchMessage, Settlement } from "./control-protocol.ts";
import { type ControlHandlers, failureOf, type LeftOut, serveControl } from "./control-server.ts";
import { type LaunchedBottle, type LaunchRequest, launchBottle } from "./launch.ts";
import { bindExecution, connectStreams, followSession } from "./session-streams.ts";
import { closeScope, settle, takeOutWork } from "./settlement.ts";

/** What `bottle start` and `bottle resume` write to a keeper's stdin, as one line. */
export interface KeeperOrder extends LaunchRequest {
  /** Start the agent without waiting for anybody to join. */
  readonly detach: boolean;
  /** The operator's environment, without what is in `env` and `credentials`. */
  readonly environment: Readonly<Record<string, string>>;
  /** The terminal the agent gets; absent for a headless one. */
  readonly tty: TerminalSize | undefined;
}

/** Somebody asked for the agent and went away before it began. */
const JOIN_TIMEOUT_MS = 60_000;
/** Why a bottle is frozen that could be recorded. */
const FROZEN = "nothing leaves it";
/** What a stopped agent gets to finish its sentence. */
const STOP_GRACE_MS = 3_000;

/** Whether the bottle is still wanted. */
interface Wish {
  /** Aborted once, with a UserError: why the launch is given up, or the bottle stopped. */
  readonly signal: AbortSignal;
  stop(reason: UserError): void;
  /** From then on it does not matter whether whoever asked for the agent is still there. */
  agentRuns: boolean;
}

type Say = (message: LaunchMessage) => Promise<void>;

export async function runKeeper(): Promise<void> {
  for (const stream of [process.stdin, process.stdout, process.stderr]) stream.on("error", () => {});
  for (const signal of ["SIGHUP", "SIGINT", "SIGPIPE"] as const) process.on(signal, () => {});
  const say: Say = (message) => writeJsonLine(process.stdout, message);

  const lines = readJsonLines(process.stdin);
  const coming = lines.next();
  // Large, and needed by every launch: loaded while the plan is still being made.
  import("../bundle/certificate-authority.ts").catch(() => {});
  const first = await coming;
  if (first.done) return;
  const order = first.value as KeeperOrder;
  Object.assign(process.env, order.environment);

  const stopper = new AbortController();
  const wish: Wish = {
    signal: stopper.signal,
    stop: (reason) => stopper.abort(reason),
    agentRuns: false,
  };
  process.on("SIGTERM", () => wish.stop(new UserError("stopped by SIGTERM", { exitCode: 143 })));
  // Until the agent runs, the command that asked is the only one who knows of the bottle: without it, stop.
  lines.next().then(
    () => wish.agentRuns || wish.stop(new UserError("the launch was interrupted", { exitCode: 130 })),
    () => {},
  );

  const scope = createScope();
  let bottle: LaunchedBottle;
  try {
    bottle = await launch(order, wish, say, scope);
  } catch (error) {
    const problems = await closeScope(scope);
    const failure = failureOf(wish.signal.aborted ? wish.signal.reason : error);
    await say({ failed: { ...failure, message: [failure.message, ...problems].join("\n") } });
    return;
  }
  await serve(order, bottle, wish, say, scope);
}

function launch(order: KeeperOrder, wish: Wish, say: Say, scope: Scope): Promise<LaunchedBottle> {
  return launchBottle(
    order,
    {
      progress: (progress) => void say({ progress }),
      reserved: (id) => void say({ reserved: id }),
      // I8: without its log a bottle decides nothing any more, so it ends.
      logFailed: (error) => wish.stop(new UserError(messageOf(error))),
    },
    scope,
    wish.signal,
  );
}

/** From ready to settled. */
async function serve(
  order: KeeperOrder,
  bottle: LaunchedBottle,
  wish: Wish,
  say: Say,
  scope: Scope,
): Promise<void> {
  let phase: BottleStatus["phase"] = "ready";
  let agent: Promise<AgentSession> | undefined;
  const begun = pending<void>();
  /** Ports of the guest's: a browser comes a hundred times, and the log need not say so. */
  const dialled = new Set<number>();
  const settled = pending<Settlement>();

  /** @param onStart called before the agent's first word can have come. */
  const startAgent = (
    tty: TerminalSize | undefined,
    onStart: (session: AgentSession) => void,
  ): Promise<AgentSession> => {
    if (phase === "settling") throw new UserError("the bottle is ending");
    const starting = beginAgent(order, bottle, tty).then((session) => {
      onStart(session);
      phase = "running";
      wish.agentRuns = true;
      begun.resolve();
      return session;
    });
    starting.catch(begun.reject);
    return starting;
  };

  const { standstill, inbox } = bottle;
  /** What who watches was told last. */
  let told: string | undefined;
  inbox.watch(() => {
    const lack = standstill.lack?.message;
    if (lack === told) return;
    told = lack;
    agent?.then(
      (session) => {
        session.notice(lack ?? `bottle ${bottle.id} goes on`);
        if (lack === undefined) session.goOn();
      },
      () => {},
    );
  });

  const handlers: ControlHandlers = {
    inbox,
    get lack() {
      return standstill.lack;
    },
    async thaw(by) {
      await standstill.restore(by);
      await inbox.thaw(by);
    },
    status: () => ({
      id: bottle.id,
      agent: order.plan.agent.name,
      ...(order.plan.label !== undefined && { label: order.plan.label }),
      backend: order.plan.backend,
      startedAt: bottle.record.startedAt,
      keeperPid: process.pid,
      phase,
      ...(inbox.state.frozen && { frozen: standstill.lack?.message ?? FROZEN }),
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
      await bottle.log.happened("exec.ended", { argv: request.argv, ...exit });
    },
    async agent(request, ends) {
      const join = (session: AgentSession, size: TerminalSize | undefined): void => {
        const stdout = session.tty ? ends.stdin : ends.stdout;
        session.join({ stdin: ends.stdin, stdout, stderr: ends.stderr }, size);
        if (standstill.lack !== undefined) session.notice(standstill.lack.message);
      };
      // It begins in a terminal of the starter's size, and has to draw nothing anew.
      if (agent === undefined && request.start)
        agent = startAgent(request.tty, (session) => join(session, undefined));
      else if (agent !== undefined) agent.then((session) => join(session, request.tty)).catch(() => {});
      else throw new UserError("the agent has not been started");
      await followSession(await agent, ends, settled.promise);
    },
    async dial(port, socket) {
      if (!dialled.has(port)) {
        dialled.add(port);
        await bottle.log.append("port.opened", { port });
      }
      const target = await bottle.guest.dial(port);
      // Whoever asked may have gone meanwhile, and tells nobody of it any more.
      if (socket.destroyed) return void target.destroy();
      socket.write(`${JSON.stringify({ done: true })}\n`);
      connectStreams(target, socket);
    },
    async copyIn(from, to) {
      await bottle.log.append("files.copying-in", { to });
      await bottle.guest.copyIn(from, to, { user: "agent" });
      await bottle.log.happened("files.copied-in", { to });
    },
    async copyOut(from, to) {
      await bottle.log.append("files.copying-out", { from });
      const leftOut: LeftOut[] = [];
      await bottle.guest.copyOut(from, to, (path, reason) => void leftOut.push({ path, reason }));
      await bottle.log.happened("files.copied-out", { from, leftOut: leftOut.length });
      return leftOut;
    },
    async copyDisk(to, why) {
      const { copyDisk } = bottle.guest;
      if (copyDisk === undefined) throw new UserError("the bottle has no disk of its own to copy");
      await bottle.log.append("bottle.copying-disk", { why });
      await copyDisk(to);
      await bottle.log.happened("bottle.disk-copied", { why });
    },
    exportWork: () => takeOutWork(bottle),
    async stop() {
      wish.stop(new UserError("stopped"));
      return settled.promise;
    },
  };

  // Outlives the bottle's own scope: whoever waits is told how it ended.
  const control = createScope();
  let isReady = false;
  let failure: unknown;
  let exit: ExitStatus;
  try {
    await serveControl(bottle.paths.socket, await readFile(bottle.paths.token, "utf8"), handlers, control);
    if (order.detach) {
      agent = startAgent(order.tty, () => {});
      await begun.promise;
    }
    isReady = true;
    await say({ ready: { id: bottle.id, fingerprint: bottle.authority.fingerprint } });
    const reason = await beginning(begun.promise, bottle.guest, wish);
    exit = agent === undefined ? { kind: "lost", reason } : await ending(await agent, bottle, wish);
  } catch (error) {
    failure = error;
    exit = { kind: "lost", reason: messageOf(error) };
  }
  phase = "settling";
  await standstill.end();
  // Where no agent ran, a new bottle's workspace is still the copy it was given.
  const isDisposable = !wish.agentRuns && order.resume === undefined;
  const settlement = await settle(bottle, exit, { isDisposable }, scope);
  settled.resolve(settlement);
  if (!isReady) {
    const { message, ...rest } = failureOf(failure);
    await say({ failed: { ...rest, message: [message, ...settlement.problems].join("\n") } });
  }
  await closeScope(control);
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
  return createAgentSession(execution, tty !== undefined, bottle.paths.agentLog, bottle.standstill.lacks);
}

/** Resolves when the agent has begun, or with why it will not. @throws what kept it from starting. */
async function beginning(begun: Promise<void>, guest: Guest, wish: Wish): Promise<string> {
  return Promise.race([
    begun.then(() => "it ended"),
    given(wish.signal),
    guest.ended,
    after(JOIN_TIMEOUT_MS).then(() => "nobody joined it"),
  ]);
}

/** However it comes: the agent ends, somebody stops the bottle, or the guest is gone. */
async function ending(
  session: AgentSession,
  { guest, inbox, standstill }: Pick<LaunchedBottle, "guest" | "inbox" | "standstill">,
  wish: Wish,
): Promise<ExitStatus> {
  const ended = session.exit.then(async (exit) => {
    await session.finished;
    return exit;
  });
  const stopped = given(wish.signal).then(async (): Promise<ExitStatus> => {
    // A frozen guest is neither ended nor looked through: it goes on without its agent, and with no way out still.
    session.kill(inbox.state.frozen ? "SIGKILL" : "SIGTERM");
    await standstill.end();
    const exit = await Promise.race([ended, after(STOP_GRACE_MS)]);
    if (exit === undefined) session.kill("SIGKILL");
    return exit ?? { kind: "signalled", signal: "SIGKILL" };
  });
  return Promise.race([ended, stopped, guest.ended.then((reason) => ({ kind: "lost" as const, reason }))]);
}

/** Resolves with the reason once the signal is aborted. */
function given(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const tell = (): void => resolve(messageOf(signal.reason));
    if (signal.aborted) tell();
    else signal.addEventListener("abort", tell, { once: true });
  });
}

function after(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), milliseconds).unref());
}
