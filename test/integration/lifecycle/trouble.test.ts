/** A host that is not as it should be while a bottle runs: what hangs is ended by a deadline, and what runs out closes. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually, killIfThere } from "../../support/bottle-cli.ts";
import { freeDescriptor } from "../../support/open-files.ts";
import { realPid } from "../../support/pid-of.ts";
import { processTree } from "../../support/real-host.ts";

/** Three seconds for its last sentence, ten for a guest that may still answer, and what a busy machine adds. */
const STOP_MS = 40_000;

describe("what hangs", () => {
  let cli: BottleCli;
  beforeAll(() => {
    cli = createBottleCli();
    cli.agent("sh", ["sh", "-c"]);
  });
  afterEach(() => cli.expectNothingLeft());
  afterAll(() => cli.remove());

  it(
    "a guest with everybody in it, or its sidecars, is ended by bottle stop within its deadline, and the bottle is kept",
    async () => {
      // Both at once: each waits for a deadline of its own.
      await Promise.all(
        [
          { seconds: 604, pattern: /guest-init\.mjs|^sleep 604|^sh -c sleep 604/ },
          { seconds: 605, pattern: /bottle\.js sidecar / },
        ].map(async ({ seconds, pattern }) => {
          const id = await cli.start("sh", "-p", `sleep ${seconds}; true`);
          const { keeperPid } = await cli.status(id);
          const hung = (like: RegExp): readonly number[] =>
            processTree(keeperPid).filter((pid) => like.test(cli.commandOf(pid)));
          await eventually("the agent", () => hung(new RegExp(`^sleep ${seconds}`))[0]);
          const stopped = hung(pattern);
          expect(stopped.length).toBeGreaterThan(0);
          for (const pid of stopped) process.kill(realPid(pid), "SIGSTOP");
          const from = performance.now();
          expect((await cli.run(["stop", id])).code).toBe(0);
          expect(performance.now() - from).toBeLessThan(STOP_MS);
        }),
      );
      expect((await cli.list()).map(({ state }) => state)).toEqual(["kept", "kept"]);
      expect(await cli.leftovers()).toEqual([]);
      for (const id of cli.kept())
        expect((await cli.run(["resume", id, "-p", "echo again"])).stdout).toBe("again\n");
    },
    STOP_MS + 20_000,
  );

  it("everything of a bottle, stopped and let go on, is as it was", async () => {
    const id = await cli.start("sh", "-p", "while :; do date >>~/lives; sleep 0.1; done");
    await eventually("the agent", async () =>
      (await cli.run(["exec", id, "--", "cat", "lives"])).code === 0 ? true : undefined,
    );
    const all = cli.processes();
    for (const pid of all) killIfThere(pid, "SIGSTOP");
    expect(await cli.list()).toMatchObject([{ id, state: "stuck" }]);
    for (const pid of all) killIfThere(pid, "SIGCONT");
    expect(await cli.list()).toMatchObject([{ id, state: "running", trouble: null }]);
    const lives = async (): Promise<number> =>
      Number((await cli.run(["exec", id, "--", "wc", "-c", "lives"])).stdout.split(" ")[0]);
    const before = await lives();
    await eventually("that it goes on", async () => ((await lives()) > before ? true : undefined));
    expect((await cli.run(["exec", id, "--", "curl", "-s", "http://denied.test/"])).stdout).toContain(
      "denied",
    );
    await cli.run(["rm", "--force", id]);
  });
});

describe("a keeper that is out of file descriptors", () => {
  let cli: BottleCli;
  beforeAll(() => {
    cli = createBottleCli();
    cli.agent("sh", ["sh", "-c"]);
  });
  afterAll(async () => {
    await cli.expectNothingLeft();
    await cli.remove();
  });

  it("refuses what it has none for, hangs at nothing, and serves again once it has some", async () => {
    const id = await cli.start("sh", "-p", "sleep 600");
    const { keeperPid } = await cli.status(id);
    const limits = readFileSync(`/proc/${keeperPid}/limits`, "utf8");
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
    const limitTo = (most: string): Buffer =>
      execFileSync("prlimit", [`--pid=${keeperPid}`, `--nofile=${most}:${hard}`]);
    limitTo(String(freeDescriptor(keeperPid)));
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, () => cli.run(["exec", id, "--", "echo", "here"])),
    );
    for (const { code, stdout, stderr } of outcomes) {
      // Either it was done, or it is said that it was not.
      if (code === 0) expect(stdout).toBe("here\n");
      else expect(stderr).toMatch(/error: \S/);
    }
    expect(outcomes.filter(({ code }) => code !== 0)).not.toEqual([]);
    // It is not the guest's fault.
    expect(outcomes.map(({ stderr }) => stderr).join("")).not.toContain("the guest is gone");
    limitTo(soft ?? "1024");
    expect((await cli.run(["exec", id, "--", "echo", "here"])).stdout).toBe("here\n");
    expect((await cli.run(["rm", "--force", id])).code).toBe(0);
    expect((await cli.run(["audit", "verify", id])).code).toBe(0);
  });
});
