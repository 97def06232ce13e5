/** The hook that receive-pack runs, fed as receive-pack feeds it. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  answerHook,
  newHookEnd,
  PRE_RECEIVE,
  readHookRequest,
} from "../../../src/sidecars/git-gate/git/hook.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bbt-"));
  writeFileSync(join(folder, "pre-receive"), PRE_RECEIVE, { mode: 0o700 });
});
afterAll(() => rmSync(folder, { recursive: true }));

function startHook() {
  const end = newHookEnd();
  const env = { PATH: process.env["PATH"] ?? "", GIT_QUARANTINE_PATH: "/q", ...end.env };
  const stdio = ["pipe", "ignore", "inherit", "pipe"] as const;
  const child = spawn(join(folder, "pre-receive"), { env, stdio: [...stdio] });
  const channel = child.stdio[3] as Duplex;
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { say: child.stdin, channel, ended, asked: readHookRequest(channel, end) };
}

const line = (name: string): string => `${"0".repeat(40)} ${"a".repeat(40)} ${name}`;

describe("the hook", () => {
  it("regression: is asked of the whole push, whatever a ref's name says of its end", async () => {
    const { say, channel, ended, asked } = startHook();
    let isAsked = false;
    void asked.then(() => {
      isAsked = true;
    });
    const first = `${line("refs/heads/bottle/x\n.")}\n`;
    const heard = new Promise<void>((resolve) => {
      let size = 0;
      channel.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size === "/q\n".length + first.length) resolve();
      });
    });
    say?.write(first);
    await heard;
    await new Promise(setImmediate);
    expect(isAsked).toBe(false);
    say?.end(`${line("refs/heads/evil")}\n`);
    expect(await asked).toEqual({
      quarantine: "/q",
      lines: [line("refs/heads/bottle/x"), ".", line("refs/heads/evil")],
    });
    answerHook(channel, false);
    expect(await ended).not.toBe(0);
  });

  it.each([
    [true, 0],
    [false, 1],
  ])("told %s, ends with %i", async (accept, code) => {
    const { say, channel, ended, asked } = startHook();
    say?.end(`${line("refs/heads/x")}\n`);
    expect(await asked).toEqual({ quarantine: "/q", lines: [line("refs/heads/x")] });
    answerHook(channel, accept);
    expect(await ended).toBe(code);
  });

  it("refuses when nobody answers", async () => {
    const { say, channel, ended, asked } = startHook();
    say?.end(`${line("refs/heads/x")}\n`);
    await asked;
    channel.destroy();
    expect(await ended).not.toBe(0);
  });
});
