import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { tryLock } from "../../../src/lib/lock-file.ts";
import { processStart } from "../../../src/lib/process-start.ts";
import {
  type BottleCli,
  createBottleCli,
  eventually,
  isAlive,
  killIfThere,
  pause,
  type Running,
} from "../../support/bottle-cli.ts";
import { realPid } from "../../support/pid-of.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("sh", ["sh", "-c"]);
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

/** The keeper that a running command has started, once there is one. */
function keeperOf(command: Running): Promise<number> {
  return eventually("its keeper", () =>
    cli.processes().find((pid) => /bottle\.js keeper$/.test(cli.commandOf(pid)) && isChild(pid, command)),
  );
}

function isChild(pid: number, { child }: Running): boolean {
  return cli.parentOf(pid) === child.pid;
}

describe("a keeper that is killed", () => {
  it("leaves nothing of a sidecar that was started late either", async () => {
    cli.agent("asking", ["sh", "-c"], { bottle: { supervise: true } });
    const id = await cli.start("asking", "-p", "curl -s $MCP_SUPERVISE_URL; echo asked; sleep 600");
    await eventually("its question", async () => (await cli.run(["logs", id])).stdout.includes("asked"));
    const pids = cli.processes();
    expect(pids.some((pid) => cli.commandOf(pid).includes("sidecar supervise"))).toBe(true);
    process.kill((await cli.status(id)).keeperPid, "SIGKILL");
    await eventually("everybody's end", () => (pids.some(isAlive) ? undefined : true));
    expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
    expect(await cli.leftovers()).toEqual([]);
  });

  it("takes sidecar and guest with it; the rest is listed, and then removed but for log and workspace", async () => {
    const id = await cli.start("sh", "-p", "echo kept > file; echo said; sleep 600");
    await eventually("the agent", async () => (await cli.run(["logs", id])).stdout || undefined);
    const { keeperPid } = await cli.status(id);
    const pids = cli.processes();
    // Keeper; egress and guest, each with what holds its namespaces; guest-init, agent, and its sleep.
    expect(pids.length).toBeGreaterThanOrEqual(8);
    process.kill(keeperPid, "SIGKILL");
    await eventually("everybody's end", () => (pids.some(isAlive) ? undefined : true));

    expect(await cli.list()).toMatchObject([{ id, state: "crashed", exit: null }]);
    expect((await cli.run(["exec", id, "--", "true"])).stderr).toContain(`bottle ${id} is not running`);
    const before = cli.tree();
    const listed = await cli.run(["cleanup", "--dry-run"]);
    expect(listed.code).toBe(0);
    expect(listed.stdout).toContain(`${id}  crashed  ${join(cli.home, "state", id)}\n`);
    expect(listed.stdout).toContain(`${id}  sockets  ${join(cli.runtime, "bot-bottle", id)}\n`);
    const data = JSON.parse((await cli.run(["cleanup", "--dry-run", "--json"])).stdout) as { kind: string }[];
    expect(data.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["crashed", "sockets"]));
    expect(cli.tree()).toEqual(before);
    expect((await cli.run(["cleanup"])).stderr).toContain("add --yes");
    expect(cli.tree()).toEqual(before);

    expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
    expect(await cli.leftovers()).toEqual([]);
    expect(readdirSync(join(cli.home, "state", id)).sort()).toEqual([
      "agent.log",
      "bottle.json",
      "findings-key",
      "home",
    ]);
    expect(await cli.list()).toMatchObject([{ id, state: "kept", exit: "crashed" }]);
    expect(await cli.run(["cleanup", "--yes"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "nothing was left behind\n",
    });
    expect((await cli.run(["audit", "verify", id])).code).toBe(3);
    expect((await cli.run(["resume", id, "-p", "cat file"])).stdout).toBe("kept\n");
  });

  it("at any moment of a launch leaves nothing that cleanup does not remove", async () => {
    const from = performance.now();
    const whole = await cli.start("sh", "-p", "sleep 600");
    const launch = performance.now() - from;
    await cli.run(["rm", "--force", whole]);
    const delays = Array.from({ length: 16 }, (_, i) => Math.round((i * launch) / 16) + randomInt(40));
    for (const delay of delays) {
      const command = cli.begin(["start", "sh", "-p", "sleep 600"]);
      const keeper = await keeperOf(command);
      await pause(delay);
      const pids = cli.processes().filter((pid) => pid !== command.child.pid);
      killIfThere(keeper);
      const { code, stderr } = await command.ended;
      expect(code, `killed after ${delay} ms: ${stderr}`).toBe(1);
      await eventually(`everybody's end after ${delay} ms`, () => (pids.some(isAlive) ? undefined : true));
    }
    const { code, stdout } = await cli.run(["cleanup", "--yes"]);
    expect(code).toBe(0);
    expect(stdout).not.toBe("");
    expect(await cli.leftovers(), `delays ${delays.join(", ")}`).toEqual([]);
    // Those that had become ready are kept, with the home that they had; of the others nothing is.
    for (const { id, state } of await cli.list()) {
      expect(state).toBe("kept");
      expect(existsSync(join(cli.home, "state", id, "home"))).toBe(true);
    }
  });
});

describe("a sidecar that is killed", () => {
  it("leaves the guest refused at once, is started again, and is on the log", async () => {
    const id = await cli.start("sh", "-p", "sleep 600");
    // Asks egress without end, and tells each change of the answer, and how often it was refused.
    const script = `
      const { connect } = require("node:net");
      let last, refused = 0;
      const tell = (answer) => { if (answer !== last) console.log(answer); last = answer; };
      const ask = () => {
        const socket = connect(9099, "127.0.0.1", () => socket.write("GET http://denied.test/ HTTP/1.1\\r\\nHost: denied.test\\r\\n\\r\\n"));
        const done = (answer) => {
          socket.destroy();
          if (answer === "refused") refused += 1;
          if (last === "refused" && answer === "denied") { console.log("denied again, refused " + refused); process.exit(); }
          tell(answer);
          setTimeout(ask, 5);
        };
        socket.once("data", (data) => done(/^HTTP\\/1.1 403/.test(String(data)) ? "denied" : "?"));
        socket.once("error", () => done("refused"));
        socket.once("end", () => done("refused"));
      };
      ask();`;
    const asking = cli.begin(["exec", id, "--", "node", "-e", script]);
    await eventually("an answer", () => asking.stdout().includes("denied") || undefined);
    const [egress] = (await cli.status(id)).sidecars;
    process.kill(realPid(egress?.pid), "SIGKILL");
    const { stdout } = await asking.ended;
    expect(stdout).toMatch(/^denied\nrefused\ndenied again, refused \d+\n$/);
    // I10: nobody is left waiting for the next one, or there was one refusal at most.
    expect(Number(/refused (\d+)/.exec(stdout)?.[1])).toBeGreaterThan(1);
    const again = (await cli.status(id)).sidecars[0];
    expect(again).toMatchObject({ name: "egress", restarts: 1 });
    expect(again?.pid).not.toBe(egress?.pid);
    expect((await cli.logged(id, "egress.died")).data).toMatchObject({ restartInMs: 100 });
    await cli.logged(id, "egress.restarted");
    expect((await cli.run(["list"])).stdout).toContain("running (egress restarted 1x)");
    await cli.run(["stop", id]);
  });
});

describe("a guest that is killed", () => {
  it.each([
    ["its process 1", /^cat$/],
    ["its init", /^\S*node .*guest-init\.mjs$/],
  ])("by %s ends the bottle, which is kept and told", async (_name, pattern) => {
    const command = cli.begin(["start", "sh", "-p", "echo half > file; echo on; sleep 600"]);
    await eventually("the agent", () => command.stdout() || undefined);
    const [id = ""] = cli.kept();
    process.kill(realPid(cli.processes().find((pid) => pattern.test(cli.commandOf(pid)))), "SIGKILL");
    const { code, stderr } = await command.ended;
    expect(code).toBe(1);
    expect(stderr).toContain("the agent's work could not be taken out");
    expect(stderr).toContain(`bottle resume ${id}`);
    expect(await cli.leftovers()).toEqual([]);
    expect(await cli.list()).toMatchObject([{ id, state: "kept" }]);
    expect((await cli.run(["resume", id, "-p", "cat file"])).stdout).toBe("half\n");
  });
});

describe("cleanup", () => {
  it("never touches a bottle that is being launched", async () => {
    let launching = true;
    const cleaning = (async () => {
      for (let runs = 0; ; runs++) {
        if (!launching) return runs;
        expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
      }
    })();
    for (let i = 0; i < 3; i++) {
      const { code, stdout, stderr } = await cli.run(["start", "sh", "-p", "echo fine"]);
      expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "fine\n" });
    }
    launching = false;
    expect(await cleaning).toBeGreaterThan(2);
  });

  it("takes a state directory without record for unfinished, unless somebody who lives has its lock", async () => {
    const state = join(cli.home, "state", "half-00000");
    mkdirSync(join(state, "root"), { recursive: true });
    const lock = await tryLock(join(state, "keeper.lock"));
    expect((await cli.list())[0]).toMatchObject({ id: "half-00000", state: "launching" });
    expect(await cli.run(["cleanup", "--yes"])).toMatchObject({ code: 0, stdout: "" });
    expect(existsSync(state)).toBe(true);
    expect((await cli.run(["rm", "--force", "half-00000"])).stderr).toContain("is running");
    if ("release" in lock) await lock.release();
    expect((await cli.list())[0]).toMatchObject({ id: "half-00000", state: "crashed" });
    expect((await cli.run(["cleanup", "--yes"])).stdout).toBe(`half-00000  unfinished  ${state}\n`);
    expect(existsSync(state)).toBe(false);
  });

  it("takes what a killed writer left half-written, and not what a living one is at", async () => {
    const writer = spawn("sleep", ["600"]);
    const { pid = 0 } = writer;
    const draft = `.${pid}.${await processStart(pid)}.${"0".repeat(12)}.tmp`;
    await cli.run(["start", "sh", "-p", "echo kept > file; exit 1"]);
    const kept = join("state", cli.kept()[0] ?? "none");
    const drafts = ["", "bottles", "audit", kept].map((folder) => join(cli.home, folder, draft));
    for (const path of drafts) writeFileSync(path, "half");
    await cli.run(["cleanup", "--yes"]);
    // In its own folder a bottle's lock says who may be at something.
    expect(drafts.filter((path) => existsSync(path))).toEqual(drafts.slice(0, -1));
    for (const path of drafts) writeFileSync(path, "half");
    writer.kill("SIGKILL");
    await once(writer, "close");
    await cli.run(["cleanup", "--yes"]);
    expect(drafts.filter((path) => existsSync(path))).toEqual([]);
    await cli.run(["rm", "--force", ...cli.kept()]);
  });

  it("leaves what belongs to another home on the same host alone", async () => {
    const id = await cli.start("sh", "-p", "sleep 600");
    const other = { BOT_BOTTLE_HOME: cli.path("other-home") };
    expect(await cli.run(["cleanup", "--yes"], { env: other })).toMatchObject({ code: 0, stdout: "" });
    expect((await cli.run(["list", "--json"], { env: other })).stdout).toBe("[]\n");
    expect((await cli.run(["exec", id, "--", "echo", "here"])).stdout).toBe("here\n");
    await cli.run(["stop", id]);
  });
});
