import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Execution, ExitStatus, TerminalSize } from "../../../src/contract/backend.ts";
import { createAgentSession, type Watcher } from "../../../src/keeper/agent-session.ts";

let folder: string;
let logPath: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "agent-session-"));
  logPath = join(folder, "agent.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** An agent at the hands of its test. */
function createAgent() {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const resized: TerminalSize[] = [];
  const killed: string[] = [];
  let exit: (status: ExitStatus) => void = () => {};
  const execution: Execution = {
    stdin,
    stdout,
    stderr,
    exit: new Promise((resolve) => {
      exit = resolve;
    }),
    kill: (signal) => void killed.push(signal),
    resize: (size) => void resized.push(size),
  };
  return { execution, stdin, stdout, stderr, resized, killed, exit: (status: ExitStatus) => exit(status) };
}

/** Somebody who watches and reads everything. */
function createWatcher() {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const text = { stdout: "", stderr: "" };
  stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text.stdout += chunk;
  });
  stderr.setEncoding("utf8").on("data", (chunk: string) => {
    text.stderr += chunk;
  });
  const watcher: Watcher = { stdin, stdout, stderr };
  return { watcher, stdin, stdout, text };
}

const EXITED: ExitStatus = { kind: "exited", code: 0 };
const SIZE = { cols: 80, rows: 24 };

describe("a headless agent's session", () => {
  it("gives output and complaints to whoever joined at once, and both to the log", async () => {
    const agent = createAgent();
    agent.stdout.write("first words\n");
    const session = createAgentSession(agent.execution, false, logPath);
    const { watcher, text } = createWatcher();
    session.join(watcher, undefined);
    agent.stderr.write("a complaint\n");
    agent.stdout.end("last words\n");
    agent.stderr.end();
    agent.exit({ kind: "exited", code: 3 });
    expect(await session.exit).toEqual({ kind: "exited", code: 3 });
    await session.finished;
    expect(text).toEqual({ stdout: "first words\nlast words\n", stderr: "a complaint\n" });
    expect(readFileSync(logPath, "utf8").split("\n").sort().join(",")).toBe(
      ",a complaint,first words,last words",
    );
    expect(statSync(logPath).mode & 0o777).toBe(0o600);
  });

  it("closes the agent's input, and takes none from who watches", () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, false, logPath);
    const { watcher, stdin } = createWatcher();
    session.join(watcher, SIZE);
    stdin.write("typed");
    expect(agent.stdin.writableEnded).toBe(true);
    expect(agent.stdin.readableLength).toBe(0);
    expect(agent.resized).toEqual([]);
    agent.exit(EXITED);
  });

  it("waits for nobody who does not read, once the agent has ended", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, false, logPath);
    const deaf: Watcher = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    session.join(deaf, undefined);
    for (let i = 0; i < 8; i++) agent.stdout.write(Buffer.alloc(64 * 1024, "x"));
    agent.stdout.end();
    agent.stderr.end();
    agent.exit(EXITED);
    await session.finished;
    expect(statSync(logPath).size).toBe(8 * 64 * 1024);
    // It has not read yet, and loses nothing.
    let size = 0;
    for await (const chunk of deaf.stdout as unknown as AsyncIterable<Buffer>) size += chunk.length;
    expect(size).toBe(8 * 64 * 1024);
  });

  it("does not wait for output that another process keeps open after the agent's end", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, false, logPath);
    const { watcher, text } = createWatcher();
    session.join(watcher, undefined);
    agent.stdout.write("said");
    agent.exit(EXITED);
    await session.finished;
    expect(text.stdout).toBe("said");
  });

  it.each([
    [EXITED, "SIGINT", { kind: "signalled", signal: "SIGINT" }],
    [{ kind: "exited", code: 1 }, "SIGINT", { kind: "exited", code: 1 }],
    [{ kind: "signalled", signal: "SIGKILL" }, "SIGTERM", { kind: "signalled", signal: "SIGKILL" }],
  ] as const)("counts %j after %s as %j", async (status, signal, counted) => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, false, logPath);
    session.kill(signal);
    expect(agent.killed).toEqual([signal]);
    agent.stdout.end();
    agent.stderr.end();
    agent.exit(status);
    expect(await session.exit).toEqual(counted);
    await session.finished;
  });
});

describe("an agent's session on a terminal", () => {
  it("passes keys on, shows the past to who comes later, and has the agent draw anew", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, true, logPath);
    const first = createWatcher();
    session.join(first.watcher, undefined);
    agent.stdout.write("a screen");
    first.stdin.write("keys");
    await new Promise((resolve) => setImmediate(resolve));
    expect(agent.stdin.read()?.toString()).toBe("keys");
    const second = createWatcher();
    session.join(second.watcher, SIZE);
    agent.stdout.end(" and more");
    agent.exit(EXITED);
    await session.finished;
    expect(first.text.stdout).toBe("a screen and more");
    expect(second.text.stdout).toBe("a screen and more");
    expect(agent.resized[0]).toEqual({ cols: 80, rows: 23 });
  });

  it("regression: a terminal that changes its size just after it came keeps the new one", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, true, logPath);
    session.join(createWatcher().watcher, SIZE);
    const next = { cols: 100, rows: 30 };
    session.resize(next);
    await vi.waitFor(() => expect(agent.resized).toHaveLength(3));
    expect(agent.resized.at(-1)).toEqual(next);
    agent.stdout.end();
    agent.exit(EXITED);
    await session.finished;
  });

  it("shows no more of the past than some screens, and never half a sequence of it", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, true, logPath);
    for (let i = 0; i < 100; i++) agent.stdout.write(`\x1b[31m${"x".repeat(2_000)}\x1b[0m`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const late = createWatcher();
    session.join(late.watcher, SIZE);
    agent.stdout.end();
    agent.exit(EXITED);
    await session.finished;
    expect(late.text.stdout.length).toBeGreaterThan(32 * 1024);
    expect(late.text.stdout.length).toBeLessThan(80 * 1024);
    expect(late.text.stdout.startsWith("\x1b[31m")).toBe(true);
  });

  it("shows what is filtered, and logs what was said", async () => {
    const agent = createAgent();
    const session = createAgentSession(agent.execution, true, logPath);
    const { watcher, text } = createWatcher();
    session.join(watcher, undefined);
    agent.stdout.end("a\x1b]52;c;c2VjcmV0\x07b");
    agent.exit(EXITED);
    await session.finished;
    expect(text.stdout).toBe("ab");
    expect(readFileSync(logPath, "utf8")).toContain("]52;");
  });
});
