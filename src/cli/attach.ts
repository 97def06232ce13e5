/** The operator's end of a session: their terminal, or pipes. */

import { constants } from "node:os";
import type { ExitStatus, TerminalSize } from "../contract/backend.ts";
import type { Keeper, Session } from "../keeper/control-client.ts";
import type { Settlement } from "../keeper/control-protocol.ts";
import { TERMINAL_RESET } from "../keeper/terminal-filter.ts";
import { printable } from "../lib/printable.ts";
import { untilEnded } from "../lib/streams.ts";
import { createDetachKey } from "./detach-key.ts";
import { tell } from "./output.ts";

/** What is left in the sockets when the process has ended comes within this. */
const LAST_OUTPUT_MS = 1_000;

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

/** Joins a session until it ends or the operator detaches. */
export function joinSession(session: Session, options: { readonly detachable: boolean }): Promise<Outcome> {
  return session.tty && onTerminal() ? joinTerminal(session, options) : joinPipes(session);
}

async function joinTerminal(session: Session, options: { readonly detachable: boolean }): Promise<Outcome> {
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
  const drained = untilEnded(session.stdout);
  session.stdout.pipe(stdout, { end: false });
  try {
    const ended = session.exit.then(async (exit): Promise<Outcome> => {
      await Promise.race([drained, pause(LAST_OUTPUT_MS)]);
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
    if (stdin.isRaw) {
      stdin.setRawMode(false);
      stdout.write(TERMINAL_RESET);
    }
    stdin.pause();
  }
}

async function joinPipes(session: Session): Promise<Outcome> {
  const { stdin, stdout, stderr } = process;
  stdin.pipe(session.stdin);
  const streams = [{ from: session.stdout, to: stdout as NodeJS.WritableStream }];
  if (session.stderr !== undefined) streams.push({ from: session.stderr, to: stderr });
  const drained = Promise.all(
    streams.map(({ from, to }) => {
      from.pipe(to, { end: false });
      return untilEnded(from);
    }),
  );
  let interrupts = 0;
  const interrupt = (): void => {
    session.send({ kill: interrupts++ === 0 ? "SIGINT" : "SIGKILL" });
  };
  const terminate = (): void => session.send({ kill: "SIGTERM" });
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", terminate);
  try {
    const exit = await session.exit;
    await Promise.race([drained, pause(LAST_OUTPUT_MS)]);
    return { kind: "ended", exit, settled: await session.settled };
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", terminate);
    stdin.unpipe(session.stdin);
    stdin.pause();
    session.close();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
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
  const session = await keeper.session(
    { op: "agent", start: options.start },
    options.tty ? terminalSize() : undefined,
  );
  const outcome = await joinSession(session, { detachable: true });
  if (outcome.kind === "detached") {
    tell(`detached; the agent goes on. bottle attach ${keeper.id}`);
    return 0;
  }
  if (outcome.exit.kind === "lost") tell(outcome.exit.reason);
  if (outcome.settled !== undefined) tellSettlement(outcome.settled);
  return exitCodeOf(outcome.exit);
}

export function tellSettlement(settlement: Settlement): void {
  const { id, work, kept, problems } = settlement;
  for (const problem of problems) tell(`warning: ${problem}`);
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
  if (kept && !(settlement.exit.kind === "exited" && settlement.exit.code === 0)) {
    tell(`kept as it was left:  bottle resume ${id}`);
  }
}
