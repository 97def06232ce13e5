/** The operator's end of a session: their terminal, or pipes. */
import { constants } from "node:os";
import { pipeline } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type { ExitStatus, TerminalSize } from "../contract/backend.ts";
import type { Keeper, Session } from "../keeper/control-client.ts";
import type { Settlement } from "../keeper/control-protocol.ts";
import { filterTerminal } from "../keeper/terminal-filter.ts";
import { TERMINAL_RESET } from "../keeper/terminal-rules.ts";
import { printable, printableLines } from "../lib/printable.ts";
import { untilEnded } from "../lib/streams.ts";
import { createDetachKey } from "./detach-key.ts";
import { tell, warn } from "./output.ts";

export type Outcome =
  | { readonly kind: "ended"; readonly exit: ExitStatus; readonly settled: Settlement | undefined }
  | { readonly kind: "detached" };

export function terminalSize(): TerminalSize {
  return { cols: process.stdout.columns ?? 80, rows: process.stdout.rows ?? 24 };
}

/** Both ends must be a terminal for it to be passed on. */
export function onTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Joins a command beside the agent: what is typed or piped in is its input. @param size it was asked for with. */
export function joinExec(
  session: Session,
  size: TerminalSize | undefined,
  interrupts: Interrupts,
): Promise<Outcome> {
  return session.tty && onTerminal()
    ? joinTerminal(session, { detachable: false, size })
    : joinPipes(session, { input: true, interrupts });
}

/** Joins the agent until it ends or the operator lets go. A headless one has no input: ours is left to others. */
function joinAgent(
  session: Session,
  size: TerminalSize | undefined,
  interrupts: Interrupts,
): Promise<Outcome> {
  return session.tty && onTerminal()
    ? joinTerminal(session, { detachable: true, size })
    : joinPipes(session, { input: session.tty, interrupts });
}

/** Ctrl-C and its like, from before there is a session to have them. */
export interface Interrupts {
  /** Those that came, and those that come. */
  forwardTo(session: Session): void;
  stop(): void;
}

/** The first SIGINT is for the agent to judge; the second ends it. */
export function catchInterrupts(): Interrupts {
  const caught: NodeJS.Signals[] = [];
  let session: Session | undefined;
  const on = (signal: NodeJS.Signals): void => {
    const again = signal === "SIGINT" && caught.includes("SIGINT");
    caught.push(signal);
    session?.send({ kill: again ? "SIGKILL" : signal });
  };
  process.on("SIGINT", on);
  process.on("SIGTERM", on);
  return {
    forwardTo(joined) {
      session = joined;
      caught.forEach((signal, i) => {
        joined.send({ kill: signal === "SIGINT" && caught.indexOf("SIGINT") < i ? "SIGKILL" : signal });
      });
    },
    stop() {
      process.off("SIGINT", on);
      process.off("SIGTERM", on);
    },
  };
}

interface TerminalOptions {
  readonly detachable: boolean;
  /** That the session was asked for with. */
  readonly size: TerminalSize | undefined;
}

async function joinTerminal(session: Session, options: TerminalOptions): Promise<Outcome> {
  const { stdin, stdout } = process;
  const resize = (): void => session.send({ resize: terminalSize() });
  const key = createDetachKey();
  let detach: () => void = () => {};
  const detached = new Promise<Outcome>((resolve) => {
    detach = () => resolve({ kind: "detached" });
  });
  const onInput = (chunk: Buffer): void => {
    const { pass, pressed } = options.detachable ? key.scan(chunk) : { pass: chunk, pressed: false };
    session.stdin.write(pass);
    if (pressed) detach();
  };
  stdin.setRawMode(true);
  stdin.on("data", onInput);
  stdin.resume();
  stdout.on("resize", resize);
  // It may have changed while nobody listened.
  if (!isDeepStrictEqual(options.size, terminalSize())) resize();
  // Whoever ends us gets a terminal back that echoes.
  if (options.detachable) process.on("SIGTERM", detach);
  const drained = untilEnded(session.stdout);
  session.stdout.pipe(stdout, { end: false });
  try {
    const ended = session.exit.then(async (exit): Promise<Outcome> => {
      await drained;
      return { kind: "ended", exit, settled: undefined };
    });
    const outcome = await Promise.race([ended, detached]);
    // The terminal is the operator's again before anything else is said.
    restore();
    return outcome.kind === "detached" ? outcome : { ...outcome, settled: await session.settled };
  } finally {
    restore();
    session.close();
  }

  function restore(): void {
    session.stdout.unpipe(stdout);
    stdin.off("data", onInput);
    stdout.off("resize", resize);
    process.off("SIGTERM", detach);
    if (stdin.isRaw) {
      stdin.setRawMode(false);
      stdout.write(TERMINAL_RESET);
    }
    stdin.pause();
  }
}

async function joinPipes(
  session: Session,
  options: { readonly input: boolean; readonly interrupts: Interrupts },
): Promise<Outcome> {
  const { stdin, stdout, stderr } = process;
  if (options.input) stdin.pipe(session.stdin);
  const streams = [{ from: session.stdout, to: stdout as NodeJS.WritableStream }];
  if (session.stderr !== undefined) streams.push({ from: session.stderr, to: stderr });
  const drained = Promise.all(
    streams.map(({ from, to }) => {
      // A terminal is the operator's, whoever has asked for one: what it would take for orders does not get there.
      const shown = isTerminal(to) ? pipeline(from, filterTerminal(), () => {}) : from;
      shown.pipe(to, { end: false });
      return untilEnded(shown);
    }),
  );
  // As from a terminal that was closed: the agent goes on.
  const unread = new Promise<Outcome>((resolve) => {
    stdout.once("error", () => resolve({ kind: "detached" }));
  });
  options.interrupts.forwardTo(session);
  const ended = session.exit.then(async (exit): Promise<Outcome> => {
    await drained;
    return { kind: "ended", exit, settled: await session.settled };
  });
  try {
    return await Promise.race([ended, unread]);
  } finally {
    stdin.unpipe(session.stdin);
    stdin.pause();
    session.close();
    for (const { to } of streams) if (isTerminal(to)) to.write(TERMINAL_RESET);
  }
}

function isTerminal(to: NodeJS.WritableStream): boolean {
  return "isTTY" in to && to.isTTY === true;
}

/** A shell's convention: 128 and the number of the signal. */
export function exitCodeOf(exit: ExitStatus): number {
  switch (exit.kind) {
    case "exited":
      return exit.code;
    case "signalled":
      return 128 + (constants.signals[exit.signal] ?? 0);
    case "lost":
      return 1;
  }
}

/** Joins the agent of a running bottle and tells how it ended. @returns the exit code. */
export async function followAgent(
  keeper: Keeper,
  options: { readonly start: boolean; readonly tty: boolean },
): Promise<number> {
  const interrupts = catchInterrupts();
  try {
    const size = options.tty ? terminalSize() : undefined;
    const session = await keeper.session({ op: "agent", start: options.start }, size);
    const outcome = await joinAgent(session, size, interrupts);
    if (outcome.kind === "detached") {
      tell(`detached; the agent goes on. bottle attach ${keeper.id}`);
      return 0;
    }
    if (outcome.exit.kind === "lost") tell(printableLines(outcome.exit.reason));
    if (outcome.settled !== undefined) tellSettlement(outcome.settled);
    return exitCodeOf(outcome.exit);
  } finally {
    interrupts.stop();
  }
}

/** What the agent asked of its environment, and how it is given: on the host, and for the bottle's next life. */
export function tellWaits(waits: readonly string[] = []): void {
  if (waits.length === 0) return;
  tell("it waits for what its environment lacks:");
  for (const line of waits) tell(`  ${printable(line, 1_000)}`);
}

export function tellSettlement(settlement: Settlement): void {
  const { id, work, kept, problems } = settlement;
  for (const problem of problems) warn(problem);
  if (work !== undefined && !work.empty) {
    const parts = [];
    if (work.commits > 0)
      parts.push(
        `${work.commits} ${work.commits === 1 ? "commit" : "commits"} on ${work.branches.join(", ")}`,
      );
    if (work.uncommitted !== undefined) {
      const { files, insertions, deletions } = work.uncommitted;
      parts.push(`${files} uncommitted ${files === 1 ? "file" : "files"} (+${insertions} -${deletions})`);
    }
    if (work.tags.length > 0) parts.push(`tags ${work.tags.join(", ")}`);
    tell(`work of ${id}: ${printable(parts.join("; "), 500)}`);
    for (const note of work.notes) tell(`  note: ${note}`);
    tell(`  bottle diff ${id}    see it`);
    tell(`  bottle pull ${id}    fetch it into refs/bottles/${id}/`);
    tell(`  bottle rm ${id}      throw it away`);
  }
  tellWaits(settlement.waits);
  if (kept && !(settlement.exit.kind === "exited" && settlement.exit.code === 0)) {
    tell(`kept as it was left:  bottle resume ${id}`);
  }
}
