/** Programs that the gate runs: what they leave behind when they end, however they end. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { startProgram } from "../../../src/sidecars/git-gate/git/run.ts";
import { run } from "../../support/git-gate.ts";
import { until } from "../../support/git-gate-process.ts";
import { realPid } from "../../support/pid-of.ts";

const start = (text: string, timeoutMs = 60_000): ReturnType<typeof startProgram> =>
  startProgram(["sh", "-c", text], { env: { PATH: process.env["PATH"] ?? "" }, cwd: "/", timeoutMs });

async function firstLine(running: ReturnType<typeof startProgram>): Promise<number> {
  for await (const chunk of running.stdout) return realPid(Number(String(chunk).trim()));
  throw new Error("it said nothing");
}

/** And runs: one that has ended may still be listed until somebody asks how. */
async function runs(pid: number): Promise<boolean> {
  const { stdout } = await run(["ps", "-o", "stat=", "-p", String(pid)]);
  return /^[^Z]/.test(stdout.trim());
}

describe("a program", () => {
  it("that failed takes with it what it had started, and is not waited for any longer", async () => {
    const running = start("sleep 50 & echo $!; exit 3");
    const [left, { code }] = await Promise.all([firstLine(running), running.ended]);
    expect(code).toBe(3);
    await until(async () => !(await runs(left)));
  }, 20_000);

  it("that takes too long is ended with all that it started, also what does not listen", async () => {
    const running = start("(trap '' TERM; sleep 50; sleep 50) & echo $!; wait", 300);
    const [left, { timedOut, code }] = await Promise.all([firstLine(running), running.ended]);
    expect([timedOut, code]).toEqual([true, 137]);
    await until(async () => !(await runs(left)));
  }, 20_000);

  it("that ended well leaves what it started to itself", async () => {
    const running = start("sleep 30 >/dev/null 2>&1 & echo $!");
    const [left, { code }] = await Promise.all([firstLine(running), running.ended]);
    expect([code, await runs(left)]).toEqual([0, true]);
    // Its number, and its group's, may be another's by then.
    running.kill();
    await sleep(500);
    expect(await runs(left)).toBe(true);
    process.kill(left, "SIGKILL");
  }, 20_000);
});
