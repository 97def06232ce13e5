/** Questions to the operator, on the terminal and never on stdin or stdout: those may be pipes. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { UserError } from "../lib/errors.ts";

/** True when there is somebody to ask. */
export function hasTerminal(): boolean {
  return process.stderr.isTTY === true && process.stdin.isTTY === true;
}

/** @returns true for y, Y, yes, YES. @throws UserError with `hint` when there is no terminal. */
export async function confirm(question: string, hint: string): Promise<boolean> {
  const answer = await askLine(`${question} [y/N] `, hint);
  return /^(y|yes)$/i.test(answer.trim());
}

/** One line, shown while it is typed. */
export async function askLine(question: string, hint: string): Promise<string> {
  if (!hasTerminal()) throw new UserError(`there is no terminal to ask: ${question.trim()}`, { hint });
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal: interrupted(lines) });
  } catch {
    throw new UserError("interrupted", { exitCode: 130 });
  } finally {
    lines.close();
  }
}

function interrupted(lines: ReturnType<typeof createInterface>): AbortSignal {
  const controller = new AbortController();
  lines.once("SIGINT", () => controller.abort());
  lines.once("close", () => controller.abort());
  return controller.signal;
}

/** One line that is not shown: a secret. */
export async function askSecret(question: string, hint: string): Promise<string> {
  if (!hasTerminal()) throw new UserError(`there is no terminal to ask: ${question.trim()}`, { hint });
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  // It switches the terminal's echo off: a paste may follow the question's first letter.
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  process.stderr.write(question);
  try {
    return await lines.question("", { signal: interrupted(lines) });
  } catch {
    throw new UserError("interrupted", { exitCode: 130 });
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
