/** Questions to the operator, on the terminal and never on stdin or stdout: those may be pipes. */
import { createInterface, type Interface } from "node:readline/promises";
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

/** One line, shown while it is typed; empty when the terminal has no more to give (Ctrl-D). */
export async function askLine(question: string, hint: string): Promise<string> {
  refuseWithoutTerminal(question, hint);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await answerTo(question, lines);
  if (answer === undefined) process.stderr.write("\n");
  return answer ?? "";
}

/** One line that is not shown: a secret. */
export async function askSecret(question: string, hint: string): Promise<string> {
  refuseWithoutTerminal(question, hint);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  // It switches the terminal's echo off: a paste may follow the question's first letter.
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  process.stderr.write(question);
  try {
    const answer = await answerTo("", lines);
    if (answer === undefined) throw interrupted();
    return answer;
  } finally {
    process.stderr.write("\n");
  }
}

function refuseWithoutTerminal(question: string, hint: string): void {
  if (!hasTerminal()) throw new UserError(`there is no terminal to ask: ${question.trim()}`, { hint });
}

/** Undefined when the input ended without an answer. @throws UserError at Ctrl-C. */
async function answerTo(question: string, lines: Interface): Promise<string | undefined> {
  const ended = new AbortController();
  let isInterrupted = false;
  lines.once("SIGINT", () => {
    isInterrupted = true;
    ended.abort();
  });
  lines.once("close", () => ended.abort());
  try {
    return await lines.question(question, { signal: ended.signal });
  } catch {
    if (isInterrupted) throw interrupted();
    return undefined;
  } finally {
    lines.close();
  }
}

function interrupted(): UserError {
  return new UserError("interrupted", { exitCode: 130 });
}
