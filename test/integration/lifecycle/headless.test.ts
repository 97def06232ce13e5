import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BOTTLE, type BottleCli, createBottleCli, eventually, pause } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  // The task comes as the last argument: here, the script.
  cli.agent("sh", ["sh", "-c"]);
});
afterEach(async () => {
  await cli.expectNothingLeft();
});
afterAll(() => cli.remove());

/** Runs a shell text as the agent, headless. */
const task = (text: string, ...flags: readonly string[]) => cli.run(["start", "sh", "-p", text, ...flags]);

describe("a headless agent", () => {
  it("has its output on stdout alone, its complaints on stderr, and its exit code ours", async () => {
    const { code, stdout, stderr } = await task("echo out; echo err >&2; exit 3");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "out\n" });
    expect(stderr).toMatch(/^bottle sh-[a-z0-9]{5}\nerr\n/m);
    expect(stderr).toContain("may reach  nothing");
    const [id] = cli.kept();
    expect(stderr).toContain(`kept as it was left:  bottle resume ${id}`);
  });

  it("needs no task, and no terminal, when its program is the operator's own", async () => {
    cli.agent("check", ["sh", "-c", "cat; echo checked; exit 4"]);
    const { code, stdout, stderr } = await cli.run(["start", "check", "--yes"], { stdin: "not for it" });
    expect({ code, stdout }, stderr).toEqual({ code: 4, stdout: "checked\n" });
    const id = cli.kept().find((each) => each.startsWith("check-")) ?? "";
    expect(await cli.run(["resume", id, "--yes"])).toMatchObject({ code: 4, stdout: "checked\n" });
    expect((await cli.run(["rm", id])).code).toBe(0);
  });

  it("has the same home however it is named", async () => {
    const relative = join("..", basename(cli.home));
    const run = await cli.run(["start", "sh", "-p", "echo here"], { env: { BOT_BOTTLE_HOME: relative } });
    expect(run, run.stderr).toMatchObject({ code: 0, stdout: "here\n" });
  });

  it("makes its files as other bottles' agents do, whatever the operator's umask is", async () => {
    const wrapper = ["sh", "-c", 'umask 077; exec "$@"', "sh"];
    const run = await cli.run(["start", "sh", "-p", "umask"], { wrapper });
    expect(run.stdout).toBe("0022\n");
  });

  it("leaves nothing but its log when it ends well", async () => {
    const { code, stdout } = await task("echo done");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "done\n" });
    expect(cli.kept()).toEqual([]);
    expect(cli.tree().filter((path) => path.endsWith(".jsonl"))).not.toEqual([]);
  });

  it("regression: loses no output of an agent that has ended before anybody looked", async () => {
    for (let i = 0; i < 3; i++) expect((await task(`echo word ${i}`)).stdout).toBe(`word ${i}\n`);
  });

  it("regression: loses none of a long output, however slowly it is read", async () => {
    const child = spawn(process.execPath, [BOTTLE, "start", "sh", "-p", "seq 1 60000"], {
      cwd: cli.folder,
      env: { ...cli.env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    // Longer than the agent's end and its bottle's take.
    await eventually("the bottle", () => (cli.kept().length === 0 ? undefined : true));
    await eventually("the bottle's end", () => (cli.kept().length > 0 ? undefined : true));
    await pause(300);
    let text = "";
    for await (const chunk of child.stdout.setEncoding("utf8")) text += chunk;
    expect(text.split("\n").length).toBe(60_001);
    expect(text.endsWith("\n60000\n")).toBe(true);
  });

  it("exits 137 when it was killed", async () => {
    expect((await task("kill -9 $$")).code).toBe(137);
  });

  it("exits 127, and keeps nothing, when there is no such program", async () => {
    cli.agent("none", ["no-such-program"]);
    const attached = await cli.run(["start", "none", "-p", "x"]);
    expect(attached.code).toBe(127);
    expect(attached.stderr).toContain("there is no no-such-program in the bottle");
    const detached = await cli.run(["start", "none", "-p", "x", "--detach", "--yes"]);
    expect(detached).toMatchObject({ code: 127, stdout: "" });
    expect(detached.stderr).toContain("there is no no-such-program in the bottle");
    expect(cli.kept()).toEqual([]);
  });

  it("has no input, and leaves ours to whoever comes next", async () => {
    const script = `while read line; do echo "<$line>"; "$0" "$1" start sh -p 'cat; echo end' 2>/dev/null; done`;
    const loop = spawn("sh", ["-c", script, process.execPath, BOTTLE], {
      cwd: cli.folder,
      env: { ...cli.env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    loop.stdin.end("one\ntwo\n");
    let text = "";
    for await (const chunk of loop.stdout.setEncoding("utf8")) text += chunk;
    expect(text).toBe("<one>\nend\n<two>\nend\n");
  });

  it("gets the first SIGINT, and is ended by the second", async () => {
    const polite = cli.begin([
      ...["start", "sh", "-p"],
      "trap 'echo interrupted; exit 5' INT; echo on; sleep 60 & wait",
    ]);
    await eventually("the agent", () => polite.stdout() || undefined);
    polite.child.kill("SIGINT");
    expect(await polite.ended).toMatchObject({ code: 5, stdout: "on\ninterrupted\n" });

    const deaf = cli.begin([
      ...["start", "sh", "-p"],
      "trap 'echo no' INT; echo on; while :; do sleep 0.1; done",
    ]);
    await eventually("the agent", () => deaf.stdout() || undefined);
    deaf.child.kill("SIGINT");
    await eventually("its answer", () => deaf.stdout().includes("no") || undefined);
    deaf.child.kill("SIGINT");
    expect((await deaf.ended).code).toBe(137);
  });

  it("counts as interrupted when it exits 0 on an interrupt", async () => {
    const agent = cli.begin(["start", "sh", "-p", "trap 'exit 0' INT; echo on; sleep 60 & wait"]);
    await eventually("the agent", () => agent.stdout() || undefined);
    agent.child.kill("SIGINT");
    expect((await agent.ended).code).toBe(130);
    expect(cli.kept()).toHaveLength(1);
  });

  it("goes on when whoever started it is killed, and is joined again", async () => {
    const agent = cli.begin([
      ...["start", "sh", "-p"],
      "echo on; while [ ! -e go ]; do sleep 0.05; done; echo late; exit 4",
    ]);
    await eventually("the agent", () => agent.stdout() || undefined);
    agent.child.kill("SIGKILL");
    await agent.ended;
    const [bottle] = await cli.list();
    expect(bottle?.state).toBe("running");
    const id = bottle?.id ?? "";
    const joined = cli.begin(["attach", id]);
    await pause(500);
    expect((await cli.run(["exec", id, "--", "touch", "workspace/go"])).code).toBe(0);
    expect(await joined.ended).toMatchObject({ code: 4, stdout: "late\n" });
  });

  it("finds its instructions in a file, and its workspace empty", async () => {
    cli.agent("told", ["sh", "-c"], { prompt: "Be brief." });
    const { stdout } = await cli.run(["start", "told", "-p", 'cat "$BOT_BOTTLE_PROMPT_FILE"; pwd; ls -A']);
    expect(stdout).toBe("Be brief./home/node/workspace\n");
  });
});

describe("--detach", () => {
  it("prints the id alone and leaves the agent running", async () => {
    const { code, stdout } = await cli.run(["start", "sh", "--yes", "--detach", "-p", "sleep 60"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^sh-[a-z0-9]{5}\n$/);
    const id = stdout.trim();
    expect(await cli.list()).toMatchObject([{ id, agent: "sh", backend: "namespace", state: "running" }]);
    expect(await cli.run(["stop", id])).toMatchObject({ code: 0, stdout: `${id}\n` });
    expect(await cli.list()).toMatchObject([{ id, state: "kept", exit: "SIGTERM" }]);
  });

  it("prints data with --json, and the preflight all the same", async () => {
    const { stdout, stderr } = await cli.run(["start", "sh", "--yes", "-d", "--json", "-p", "exit 1"]);
    const { id, fingerprint } = JSON.parse(stdout) as { id: string; fingerprint: string };
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(stderr).toContain("may reach");
    await cli.logged(id, "bottle.ended");
    expect((await cli.logged(id, "bottle.ready")).data).toEqual({ fingerprint });
  });

  it("puts the label into the id and the list", async () => {
    const label = "Fix: the Flaky test!";
    const { stdout } = await cli.run(["start", "sh", "-y", "-d", "--label", label, "-p", "sleep 60"]);
    const id = stdout.trim();
    expect(id).toMatch(/^fix-the-flaky-test-[a-z0-9]{5}$/);
    expect(await cli.list()).toMatchObject([{ id, label }]);
    expect((await cli.run(["list"])).stdout).toMatch(
      /^ID +AGENT +BACKEND +STATE +STARTED +LABEL\n.* Fix: the Flaky test!\n$/,
    );
    await cli.run(["stop", id]);
  });
});

describe("--cwd", () => {
  it("copies a folder's tracked and unignored files in, and starts the agent in it", async () => {
    const files = { "a.txt": "one\n", ".gitignore": "*.log\n", "sub/b.txt": "" };
    const folder = await cli.repository("project", files);
    cli.write("project/noise.log", "x");
    cli.write("project/new.txt", "");
    const { stdout } = await task("pwd; ls; git log --format=%s; git status --short", "--cwd", folder);
    expect(stdout).toBe("/home/node/workspace\na.txt\nnew.txt\nsub\nfirst\n?? new.txt\n");
    const below = await task("pwd; ls", "--cwd", join(folder, "sub"));
    expect(below.stdout).toBe("/home/node/workspace/sub\nb.txt\n");
  });

  it("takes the current folder when it names none, and leaves it as it is", async () => {
    const folder = await cli.repository("here");
    const { code, stderr } = await cli.run(["start", "sh", "--cwd", "-p", "echo two > a.txt"], {
      cwd: folder,
    });
    expect(code).toBe(0);
    expect(readFileSync(join(folder, "a.txt"), "utf8")).toBe("one\n");
    const [id] = cli.kept();
    for (const line of [`bottle diff ${id}`, `bottle pull ${id}`, `bottle rm ${id}`])
      expect(stderr).toContain(line);
  });
});
