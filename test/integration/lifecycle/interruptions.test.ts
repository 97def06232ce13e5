import { randomInt } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually, killIfThere, pause } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("sh", ["sh", "-c"]);
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

const keepers = (): readonly number[] =>
  cli.processes().filter((pid) => /bottle\.js keeper$/.test(cli.commandOf(pid)));

describe("a launch that is given up", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("leaves nothing, whenever %s comes", async (signal) => {
    const delays = Array.from({ length: 5 }, (_, i) => i * 110 + randomInt(110));
    for (const delay of delays) {
      const command = cli.begin([
        "start",
        "sh",
        "-p",
        "sleep 600",
        ...(delay % 2 === 0 ? ["--detach", "-y"] : []),
      ]);
      await eventually("its keeper", () => keepers()[0]);
      await pause(delay);
      command.child.kill(signal);
      const { code, stdout, stderr } = await command.ended;
      const hasBegun = /^bottle sh-/m.test(stderr);
      const id = stdout.trim();
      if (id !== "") await cli.run(["rm", "--force", id]);
      // Nothing had been asked of the keeper yet: there is nothing to give up, and the signal ends the command.
      else if (code === null) expect(cli.kept(), `after ${delay} ms`).toEqual([]);
      else if (hasBegun) expect(code, stderr).toBe(signal === "SIGINT" ? 130 : 143);
      else {
        expect({ code, stderr }).toMatchObject({
          code: 130,
          stderr: expect.stringContaining("was interrupted"),
        });
        expect(cli.kept(), `after ${delay} ms`).toEqual([]);
      }
      await cli.expectNothingLeft();
    }
  });

  it("leaves nothing when the command that asked is killed", async () => {
    for (const delay of [0, 150, 300]) {
      const command = cli.begin(["start", "sh", "-p", "sleep 600"]);
      await eventually("its keeper", () => keepers()[0]);
      await pause(delay);
      if (/^bottle sh-/m.test(command.stderr())) break;
      command.child.kill("SIGKILL");
      await command.ended;
      await eventually("the keeper's end", () => (keepers().length === 0 ? true : undefined));
      expect(cli.kept(), `after ${delay} ms`).toEqual([]);
      expect(await cli.leftovers()).toEqual([]);
    }
  });

  it("leaves nothing when its keeper is told to stop, however often", async () => {
    const command = cli.begin(["start", "sh", "-p", "sleep 600"]);
    const keeper = await eventually("its keeper", () => keepers()[0]);
    await eventually("its state", () => cli.kept()[0]);
    for (let i = 0; i < 5; i++) {
      killIfThere(keeper, "SIGTERM");
      await pause(5);
    }
    const { code, stderr } = await command.ended;
    expect(code).toBe(143);
    expect(stderr).toContain("stopped by SIGTERM");
    expect(cli.kept()).toEqual([]);
  });

  it("is broken off in the middle of a large workspace", async () => {
    const folder = await cli.repository("large", { "a.txt": "" });
    for (let i = 0; i < 8; i++) cli.write(`large/${i}.bin`, "x".repeat(16 * 1024 * 1024));
    const command = cli.begin(["start", "sh", "--cwd", folder, "-p", "sleep 600"]);
    await eventually("the copy", () => {
      const [id] = cli.kept();
      return id !== undefined && cli.tree().some((path) => path.endsWith("home/workspace/0.bin"))
        ? id
        : undefined;
    });
    command.child.kill("SIGINT");
    const begun = Date.now();
    expect((await command.ended).code).toBe(130);
    expect(Date.now() - begun).toBeLessThan(60_000);
    expect(cli.kept()).toEqual([]);
  });
});

describe("bottle stop", () => {
  it("lets the agent finish its sentence, and takes the work out", async () => {
    const folder = await cli.repository("project");
    const id = await cli.start(
      "sh",
      "--cwd",
      folder,
      "-p",
      "trap 'echo last > a.txt; exit 0' TERM; sleep 600 & wait",
    );
    await pause(200);
    expect((await cli.run(["stop", id])).code).toBe(0);
    // Cut short is no success, whatever it says.
    expect(await cli.list()).toMatchObject([{ id, state: "kept", exit: "SIGTERM" }]);
    expect((await cli.run(["diff", id])).stdout).toMatch(/^\+last$/m);
  });

  it("kills an agent that does not listen", async () => {
    const id = await cli.start("sh", "-p", "trap '' TERM; while :; do sleep 1; done");
    await pause(200);
    expect((await cli.run(["stop", id])).code).toBe(0);
    expect(await cli.list()).toMatchObject([{ id, state: "kept", exit: "SIGKILL" }]);
  });

  it("stops several at once, and tells which was not running", async () => {
    const ids = await Promise.all([cli.start("sh", "-p", "sleep 600"), cli.start("sh", "-p", "sleep 600")]);
    const { code, stdout, stderr } = await cli.run(["stop", ...ids, "none-00000"]);
    expect(code).toBe(1);
    expect(stdout.trim().split("\n").sort()).toEqual([...ids].sort());
    expect(stderr).toContain("there is no bottle none-00000");
    expect((await cli.run(["stop", ids[0] ?? ""])).stderr).toContain("is not running");
  });

  it("is what SIGTERM to the keeper does, as when the host shuts down", async () => {
    const id = await cli.start("sh", "-p", "echo x > file; sleep 600");
    await eventually("the file", async () =>
      (await cli.run(["exec", id, "--", "cat", "workspace/file"])).code === 0 ? true : undefined,
    );
    process.kill((await cli.status(id)).keeperPid, "SIGTERM");
    await cli.logged(id, "bottle.ended");
    expect(await cli.leftovers()).toEqual([]);
    expect(await cli.list()).toMatchObject([{ id, state: "kept", exit: "SIGTERM" }]);
  });
});

describe("many at once", () => {
  it("eight starts get eight ids, and each does its work", async () => {
    const runs = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        cli.run(["start", "sh", "-p", `echo ${i}; hostname; echo ${i} > file`]),
      ),
    );
    const ids = runs.map(({ code, stdout, stderr }, i) => {
      expect(code, stderr).toBe(0);
      const [number, id = ""] = stdout.trim().split("\n");
      expect(number).toBe(String(i));
      expect(stderr).toContain(`bottle ${id}\n`);
      return id;
    });
    expect(new Set(ids).size).toBe(8);
    // Each has a file that was not taken out.
    expect(cli.kept()).toEqual([...ids].sort());
    expect(readdirSync(join(cli.home, "audit")).filter((name) => name.endsWith(".jsonl"))).toEqual(
      expect.arrayContaining(ids.map((id) => `${id}.jsonl`)),
    );
    for (const id of ids.slice(0, 2)) expect((await cli.run(["audit", "verify", id])).code).toBe(0);
  });
});
