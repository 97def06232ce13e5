import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TERMINAL_RESET } from "../../../src/keeper/terminal-rules.ts";
import { type BottleCli, createBottleCli, eventually, pause } from "../../support/bottle-cli.ts";

let cli: BottleCli;
let id: string;
let project: string;
beforeAll(async () => {
  cli = createBottleCli();
  project = await cli.repository("project", { "a.txt": "one\n" });
  cli.agent("idle", ["sh", "-c", "echo from the agent; echo complaint >&2; sleep 600"], {
    bottle: {
      env: { GIVEN: "by the manifest" },
      "git-gate": { user: { name: "Agent", email: "agent@example.com" } },
    },
  });
  id = await cli.start("idle", "--cwd", project);
});
afterAll(async () => {
  await cli.run(["stop", id]);
  await cli.expectNothingLeft();
  await cli.remove();
});

const exec = (...args: readonly string[]) => cli.run(["exec", id, ...args]);
const sh = (text: string) => exec("--", "sh", "-c", text);

describe("bottle exec", () => {
  it("passes streams and exit codes on", async () => {
    expect(await sh("echo out; echo err >&2; exit 42")).toEqual({
      code: 42,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await exec("--", "true")).code).toBe(0);
    expect((await sh("kill -9 $$")).code).toBe(137);
    expect((await sh("kill -TERM $$")).code).toBe(143);
  });

  it("takes our input to its end, and ends before ours does", async () => {
    expect(
      (await cli.run(["exec", id, "--", "wc", "-c"], { stdin: "x".repeat(300_000) })).stdout.trim(),
    ).toBe("300000");
    const open = cli.begin(["exec", id, "--", "sh", "-c", "read line; echo $line; exit 6"], {
      openInput: true,
    });
    open.child.stdin?.write("first\nsecond\n");
    expect(await open.ended).toEqual({ code: 6, stdout: "first\n", stderr: "" });
  });

  it("regression: loses nothing of a long output, however slowly it is read", async () => {
    const running = cli.begin(["exec", id, "--", "sh", "-c", "seq 1 400000"]);
    running.child.stdout?.pause();
    await pause(2_000);
    running.child.stdout?.resume();
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout.length).toBe(2_688_895);
    expect(stdout.endsWith("\n400000\n")).toBe(true);
  });

  it("does not wait for what a command leaves running in the background", async () => {
    const begun = Date.now();
    expect(await sh("sleep 300 & echo started")).toMatchObject({ code: 0, stdout: "started\n" });
    expect(Date.now() - begun).toBeLessThan(100_000);
  });

  it("ends what it started when it is killed itself", async () => {
    const running = cli.begin(["exec", id, "--", "sh", "-c", "echo on; exec sleep 12345"]);
    await eventually("its beginning", () => running.stdout() || undefined);
    running.child.kill("SIGKILL");
    await eventually("its end", async () =>
      (await sh("grep -lzx 12345 /proc/[0-9]*/cmdline 2>/dev/null; true")).stdout === "" ? true : undefined,
    );
  });

  it("forwards the first SIGINT, and kills with the second", async () => {
    const polite = cli.begin(["exec", id, "--", "sh", "-c", "trap 'exit 7' INT; echo on; sleep 60 & wait"]);
    await eventually("its beginning", () => polite.stdout() || undefined);
    polite.child.kill("SIGINT");
    expect((await polite.ended).code).toBe(7);
    const deaf = cli.begin([
      "exec",
      id,
      "--",
      "sh",
      "-c",
      "trap 'echo no' INT; echo on; while :; do sleep 0.1; done",
    ]);
    await eventually("its beginning", () => deaf.stdout() || undefined);
    deaf.child.kill("SIGINT");
    await eventually("its answer", () => deaf.stdout().includes("no") || undefined);
    deaf.child.kill("SIGINT");
    expect((await deaf.ended).code).toBe(137);
  });

  it("has the bottle's environment, what -e adds, and the folder of --cwd", async () => {
    expect((await sh("echo $GIVEN; pwd")).stdout).toBe("by the manifest\n/home/node\n");
    const flags = ["-e", "A=1", "--env", "B=x=y z", "--cwd", "/tmp"];
    const { stdout } = await cli.run(["exec", ...flags, id, "--", "sh", "-c", "echo $A $B; pwd"]);
    expect(stdout).toBe("1 x=y z\n/tmp\n");
    expect((await cli.run(["exec", "-e", "1A=b", id, "--", "true"])).code).toBe(2);
    expect((await cli.run(["exec", "--cwd", "/no/such", id, "--", "true"])).stderr).toContain("/no/such");
  });

  it("takes arguments as they are: no shell, and no option of ours after the command", async () => {
    expect((await exec("printf", "%s|", "-e", "$HOME", "*", "a  b", "--cwd")).stdout).toBe(
      "-e|$HOME|*|a  b|--cwd|",
    );
    expect((await exec("--", "printf", "%s|", "", "'", '"', "\n")).stdout).toBe("|'|\"|\n|");
  });

  it("says where an option belongs that comes in the command's place", async () => {
    const { code, stderr } = await exec("-e", "A=1", "--", "true");
    expect(code).toBe(2);
    expect(stderr).toContain(`bottle exec -e … ${id} -- <command>`);
  });

  it("tells apart what is wrong: nothing to run, no such program, none that may be run", async () => {
    expect(await exec()).toMatchObject({ code: 2 });
    expect(await exec("--", "no-such-program")).toMatchObject({ code: 127, stdout: "" });
    expect((await exec("--", "/etc/hostname")).code).toBe(126);
    const slip = `${id.slice(0, -1)}${id.endsWith("a") ? "b" : "a"}`;
    const wrong = await cli.run(["exec", slip, "--", "true"]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain(`there is no bottle ${slip}; did you mean ${id}?`);
    expect((await cli.run(["exec", "../..", "--", "true"])).stderr).toContain("is not the id of a bottle");
  });

  it("is on the log before it runs, and how it ended after; what -e gives is not", async () => {
    await cli.run(["exec", "-e", "TOKEN=not-for-the-log", id, "--", "true"]);
    const of = (event: string) => cli.log(id).findLast((line) => line.event === event)?.data;
    expect(of("exec.started")).toEqual({ argv: ["true"], tty: false });
    expect(of("exec.ended")).toEqual({ argv: ["true"], kind: "exited", code: 0 });
    expect(JSON.stringify(cli.log(id))).not.toContain("not-for-the-log");
  });
});

describe("bottle list and logs", () => {
  it("shows a running bottle, for people and as data", async () => {
    expect(await cli.list()).toEqual([
      expect.objectContaining({
        id,
        agent: "idle",
        label: null,
        backend: "namespace",
        state: "running",
        exit: null,
        trouble: null,
      }),
    ]);
    expect((await cli.run(["ls"])).stdout).toContain(`${id}  idle   namespace  running`);
  });

  it("says that a keeper which does not answer is there: stuck, and not crashed", async () => {
    const { keeperPid } = await cli.status(id);
    process.kill(keeperPid, "SIGSTOP");
    try {
      expect(await cli.list()).toMatchObject([{ id, state: "stuck" }]);
      expect((await cli.run(["cleanup", "--dry-run"])).stdout).toBe("");
    } finally {
      process.kill(keeperPid, "SIGCONT");
    }
  });

  it("prints what the agent printed, and with -f what it prints until it ends", async () => {
    expect((await cli.run(["logs", id])).stdout).toBe("from the agent\r\ncomplaint\r\n");
    cli.agent("brief", ["sh", "-c", "echo one; sleep 0.7; echo two; sleep 0.7; echo last words"]);
    const followed = await cli.start("brief");
    const { code, stdout } = await cli.run(["logs", "-f", followed]);
    // On a terminal of the agent's: hence the carriage returns.
    expect({ code, stdout }).toEqual({ code: 0, stdout: "one\r\ntwo\r\nlast words\r\n" });
    // It ends with the agent's last word; the bottle is still being put away.
    await eventually("the end of the bottle", () => cli.kept().length === 1 || undefined);
    expect(cli.kept()).toEqual([id]);
  });

  it("gives the terminal back as it was when it is interrupted", async () => {
    const terminal = cli.terminal(["logs", "-f", id]);
    await terminal.shows("complaint");
    expect(terminal.raw()).not.toContain(TERMINAL_RESET);
    terminal.type("\x03");
    expect(await terminal.exit).toBe(130);
    expect(terminal.raw()).toContain(TERMINAL_RESET);
  });

  it("knows no log of a bottle that is not there", async () => {
    expect((await cli.run(["logs", "none-00000"])).stderr).toContain("there is no bottle none-00000");
  });
});

describe("bottle cp", () => {
  it("copies files and folders out, with their modes, into a name or a folder", async () => {
    await sh(
      "mkdir -p out/deep; echo text > out/deep/file; echo x > out/script; chmod 755 out/script; ln -s deep/file out/link",
    );
    expect((await cli.run(["cp", `${id}:out`, cli.path("w/copied")])).code).toBe(0);
    expect(readFileSync(cli.path("w/copied/deep/file"), "utf8")).toBe("text\n");
    expect(statSync(cli.path("w/copied/script")).mode & 0o777).toBe(0o755);
    expect(readFileSync(cli.path("w/copied/link"), "utf8")).toBe("text\n");
    expect((await cli.run(["cp", `${id}:/home/node/out/script`, "."])).code).toBe(0);
    expect(readFileSync(cli.path("w/script"), "utf8")).toBe("x\n");
  });

  it("does not overwrite what is here", async () => {
    writeFileSync(cli.path("w/mine"), "mine");
    await sh("echo theirs > mine");
    for (const target of [cli.path("w/mine"), "mine", "."]) {
      const { code, stderr } = await cli.run(["cp", `${id}:mine`, target]);
      expect(code).toBe(1);
      expect(stderr).toContain("exists already");
    }
    expect(readFileSync(cli.path("w/mine"), "utf8")).toBe("mine");
  });

  it("copies files and folders in, below the agent's home, as the agent's own", async () => {
    mkdirSync(cli.path("w/tree/sub"), { recursive: true });
    writeFileSync(cli.path("w/tree/sub/file"), "in\n", { mode: 0o600 });
    symlinkSync("sub/file", cli.path("w/tree/link"));
    expect((await cli.run(["cp", "tree", `${id}:tree`])).code).toBe(0);
    expect((await sh("cat tree/link; stat -c %U:%a tree/sub/file")).stdout).toBe("in\nnode:600\n");
    expect((await cli.run(["cp", "tree/sub/file", `${id}:`])).code).toBe(0);
    expect((await cli.run(["cp", "tree/sub/file", `${id}:/tmp/elsewhere`])).code).toBe(0);
    expect((await sh("cat file /tmp/elsewhere")).stdout).toBe("in\nin\n");
  });

  it("wants exactly one side in a bottle, and a source that is there", async () => {
    expect((await cli.run(["cp", "a", "b"])).code).toBe(2);
    expect((await cli.run(["cp", `${id}:a`, `${id}:b`])).code).toBe(2);
    expect((await cli.run(["cp", "no-such-file", `${id}:`])).stderr).toContain("there is no");
    const missing = await cli.run(["cp", `${id}:no-such-file`, "here"]);
    expect(missing).toMatchObject({
      code: 1,
      stderr: "error: there is no /home/node/no-such-file in the bottle\n",
    });
    expect(existsSync(cli.path("w/here"))).toBe(false);
    await sh("echo it > there");
    expect((await cli.run(["cp", `${id}:there`, "no/folder/here"])).stderr).toBe(
      `error: there is no folder ${cli.path("w/no/folder")}\nnext:  make it, or name another target\n`,
    );
  });
});

describe("taking work out while the agent is at it", () => {
  it("says so when there is none", async () => {
    expect(await cli.run(["diff", id])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: `${id} changed nothing\n`,
    });
    expect(await cli.run(["pull", id], { cwd: project })).toMatchObject({ code: 0, stdout: "" });
    expect(JSON.parse((await cli.run(["pull", id, "--json"], { cwd: project })).stdout)).toEqual({
      id,
      refs: [],
    });
  });

  it("shows and pulls commits and uncommitted work, and leaves the repository's own as it is", async () => {
    await sh("cd workspace && echo two > a.txt && git commit -qam second && echo three > b.txt");
    const patch = await cli.run(["diff", id]);
    expect(patch.stdout).toMatch(/^-one\n\+two$/m);
    expect(patch.stdout).toMatch(/^\+three$/m);
    expect((await cli.run(["diff", id, "--stat"])).stdout).toMatch(/a\.txt +\| +2 \+-/);
    const pulled = await cli.run(["pull", id], { cwd: project });
    expect(pulled.code).toBe(0);
    expect(pulled.stdout).toContain(`refs/bottles/${id}/heads/main`);
    expect(await cli.git(project, "show", `refs/bottles/${id}/heads/main:a.txt`)).toBe("two");
    expect(await cli.git(project, "log", "--format=%s", `refs/bottles/${id}/heads/main`)).toBe(
      "second\nfirst",
    );
    expect(await cli.git(project, "status", "--short")).toBe("");
    expect(await cli.git(project, "log", "--format=%s")).toBe("first");
    await sh("cd workspace && git add b.txt && git commit -qm third");
    const again = JSON.parse((await cli.run(["pull", id, "--json"], { cwd: project })).stdout) as {
      refs: { name: string }[];
    };
    expect(again.refs.map(({ name }) => name)).toContain(`refs/bottles/${id}/heads/main`);
    expect(await cli.git(project, "log", "-1", "--format=%s", `refs/bottles/${id}/heads/main`)).toBe("third");
  });

  it("needs a repository to pull into", async () => {
    const { code, stderr } = await cli.run(["pull", id]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/not .*(repository|git)/i);
  });
});

describe("what is refused of a running bottle", () => {
  it("is not resumed, and not removed", async () => {
    const resumed = await cli.run(["resume", id, "--yes", "--detach"]);
    expect(resumed.code).toBe(1);
    expect(resumed.stderr).toMatch(/is running[\s\S]*bottle attach/);
    const removed = await cli.run(["rm", id]);
    expect(removed.code).toBe(1);
    expect(removed.stderr).toContain(`bottle ${id} is running`);
    expect(await cli.list()).toHaveLength(1);
  });

  it("has a log that is intact so far", async () => {
    const { code, stdout } = await cli.run(["audit", "verify", id]);
    expect(code).toBe(0);
    expect(stdout).toContain("intact so far; its bottle is running");
    const report = JSON.parse((await cli.run(["audit", "verify", id, "--json"])).stdout) as {
      verdict: string;
    };
    expect(report.verdict).toBe("open");
    expect(join(cli.home, "audit", `${id}.jsonl`)).toSatisfy(existsSync);
  });
});
