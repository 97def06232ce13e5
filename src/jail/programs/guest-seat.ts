/**
 * One program of a guest on a terminal that somebody else made: this sits at it, is told over a socket of the guest's
 * server what to start, and says there how it went. Nothing of that is in anybody's arguments.
 * Arguments: the socket, and the word by which the server knows for whom this came.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { connect } from "node:net";
import type { TerminalSize } from "../../contract/backend.ts";
import { readFirstLine } from "../../lib/first-line.ts";
import { writeJsonLine } from "../../lib/json-lines.ts";
import { killGroup, obey } from "../guest-exec.ts";
import { type Answer, type ExecHeader, type Header, MAX_HEADER_BYTES, seatMark } from "../guest-protocol.ts";
import { refuseUnstartable } from "../guest-terminal.ts";

const [socketPath = "", token = ""] = process.argv.slice(2);
// What is typed is for the program: these are its signals.
for (const signal of ["SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH"] as const) process.on(signal, () => {});

process.stdout.write(seatMark(token));
const control = connect({ path: socketPath, allowHalfOpen: true });
control.on("error", () => process.exit(1));
const greeting: Header = { kind: "seat", token };
await writeJsonLine(control, greeting);
const header = JSON.parse(await readFirstLine(control, MAX_HEADER_BYTES)) as ExecHeader;
const [program, ...args] = header.argv as [string, ...string[]];

/** The terminal has whatever its maker gave it, a size of nothing among that: as plain as a new one. */
function setTerminal(...words: readonly string[]): void {
  spawnSync("stty", words, { stdio: ["inherit", "ignore", "ignore"] });
}

function sizeWords({ cols, rows }: TerminalSize): readonly string[] {
  return ["cols", String(cols), "rows", String(rows)];
}

try {
  await refuseUnstartable(program, header);
  setTerminal("sane", ...sizeWords(header.tty ?? { cols: 80, rows: 24 }));
  const child: ChildProcess = spawn(program, args, { cwd: header.cwd, env: header.env, stdio: "inherit" });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const exit = new Promise<Answer>((resolve) => {
    child.once("exit", (code, signal) => resolve({ exit: { code, signal } }));
  });
  const { pid = 1 } = child;
  await writeJsonLine(control, { pid } satisfies Answer);
  const runs = (): boolean => child.exitCode === null && child.signalCode === null;
  const end = (signal: NodeJS.Signals): void => {
    if (!runs()) return;
    child.kill(signal);
    killGroup(pid, signal);
  };
  obey(control, (command) => {
    if ("kill" in command) end(command.kill as NodeJS.Signals);
    else setTerminal(...sizeWords(command.resize));
  }).then(
    () => end("SIGHUP"),
    () => control.destroy(),
  );
  await writeJsonLine(control, await exit);
} catch (error) {
  const code = (error as NodeJS.ErrnoException).code;
  await writeJsonLine(control, { error: code ?? String(error) } satisfies Answer);
}
control.end(() => process.exit(0));
