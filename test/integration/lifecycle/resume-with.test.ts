import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually, killIfThere } from "../../support/bottle-cli.ts";

let cli: BottleCli;
let id: string;
const BOTTLE = {
  env: { FIRST: "one" },
  egress: {
    routes: [{ host: "a.test", auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" } }],
  },
} as const;
beforeAll(() => {
  cli = createBottleCli();
});
afterEach(async () => {
  await cli.run(["rm", "--force", ...cli.kept()]);
  await cli.expectNothingLeft();
});
afterAll(() => cli.remove());

const manifest = (bottle: Readonly<Record<string, unknown>> = BOTTLE): void =>
  void cli.agent("sh", ["sh", "-c"], { bottle });

/** A kept bottle with a file of the agent's. */
async function kept(bottle?: Readonly<Record<string, unknown>>): Promise<void> {
  manifest(bottle);
  const env = { SITE_TOKEN: "value" };
  const run = await cli.run(["start", "sh", "-p", "echo mine > file; exit 1"], { env });
  expect(run.code).toBe(1);
  id = cli.kept()[0] ?? "none";
}
const attempted = (): readonly string[] | undefined =>
  (JSON.parse(readFileSync(join(cli.home, "state", id, "bottle.json"), "utf8")) as { attempted?: string[] })
    .attempted;
const resume = (wanted: readonly string[], text: string, env: Record<string, string | undefined> = {}) =>
  cli.run(["resume", id, ...wanted.flatMap((what) => ["--with", what]), "-p", text], {
    env: { SITE_TOKEN: "value", ...env },
  });

describe("bottle resume --with", () => {
  it("gives a variable and a mount, read-only, to the same workspace, shown and on the log", async () => {
    await kept();
    const folder = cli.path("data");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "table"), "of elements");
    const wanted = ["env:STAGE", `mount:${folder}:/mnt/data`];
    const text = 'cat file /mnt/data/table; echo " $STAGE $FIRST"; touch /mnt/data/x; exit 1';
    const run = await resume(wanted, text, { STAGE: "the stage" });
    expect(run).toMatchObject({ code: 1, stdout: "mine\nof elements the stage one\n" });
    expect(run.stderr).toContain("Read-only file system");
    expect(run.stderr).toContain("what differs from its earlier life:");
    expect(run.stderr).toContain("+ agent gets: STAGE (your STAGE)");
    expect(run.stderr).toContain(`+ mounts: ${folder} at /mnt/data, read-only`);
    expect(run.stderr).not.toContain("the stage one");
    const launches = cli.log(id).filter(({ event }) => event === "bottle.launching");
    expect(launches.map(({ data }) => data["with"])).toEqual([undefined, wanted]);
    const report = await cli.run(["audit", "report", id]);
    expect(report.stdout.replaceAll("\\", "")).toContain(`given besides: ${wanted.join(", ")}`);
    expect(readFileSync(join(cli.home, "audit", `${id}.jsonl`), "utf8")).not.toContain("the stage");

    // It has them from now on, and says when the variable is gone.
    const again = await resume([], 'cat /mnt/data/table; echo " $STAGE"; exit 1', { STAGE: "another" });
    expect(again.stdout).toBe("of elements another\n");
    expect((await resume([], "true")).stderr).toContain(
      "STAGE is not set: the agent's STAGE is copied from it",
    );
  });

  it("asks on the terminal for a variable that the environment has not, and shows no letter of it", async () => {
    await kept();
    const args = ["resume", id, "--with", "env:WORD", "-p", 'echo "got $WORD" | tr a-z b-za; exit 1'];
    const terminal = cli.terminal(args, { env: { SITE_TOKEN: "value" } });
    await terminal.shows("WORD: the agent's WORD?");
    terminal.type("hidden\r");
    await terminal.shows("hpu ijeefo");
    expect(await terminal.exit).toBe(1);
    expect(terminal.shown()).not.toContain("hidden");
  });

  it("takes everything anew from the manifest, and says what differs", async () => {
    await kept();
    manifest({
      env: { SECOND: "two" },
      egress: { routes: [{ host: "b.test", matches: [{ methods: ["GET"] }] }] },
    });
    const text = 'cat file; echo "$FIRST,$SECOND"; curl -s https://a.test/ | head -c 40; exit 1';
    const before = await resume([], text);
    expect(before.stdout).toContain("mine\none,\n");
    const run = await resume(["manifest"], text);
    expect(run.stdout).toMatch(/^mine\n,two\n/);
    for (const line of [
      "- may reach: a.test, with the credential SITE_TOKEN: everything",
      "+ may reach: b.test: GET on any path",
      "- agent gets: FIRST (from the manifest)",
      "+ agent gets: SECOND (from the manifest)",
    ])
      expect(run.stderr).toContain(`  ${line}\n`);
    expect((await resume(["manifest"], "exit 1")).stderr).toContain("nothing differs from its earlier life");
  });

  it.each(["killed", "failed"] as const)(
    "names what it gives before it does: of a launch that %s half-way the next takes it away",
    async (how) => {
      await kept();
      const write = (file: string, text: string): void => void cli.write(`h/skills/${file}`, text);
      write("given/SKILL.md", "x");
      // Put in after it, and for a while.
      for (let i = 0; i < 6; i++) write(`large/${i}`, "x".repeat(10 * 1024 * 1024));
      if (how === "failed") symlinkSync("/etc/passwd", cli.path("h/skills/large/leaves"));
      cli.agent("sh", ["sh", "-c"], { bottle: BOTTLE, agent: { skills: ["given", "large"] } });
      const env = { SITE_TOKEN: "value" };
      const run = cli.begin(["resume", id, "--with", "manifest", "-p", "true"], { env });
      if (how === "killed") {
        await eventually("the attempt on its record", () => attempted());
        const keeper = cli.processes().find((pid) => /bottle\.js keeper$/.test(cli.commandOf(pid)));
        killIfThere(keeper ?? 0, "SIGKILL");
      }
      expect((await run.ended).code).not.toBe(0);
      expect(cli.log(id).filter(({ event }) => event === "bottle.ready")).toHaveLength(1);
      expect(attempted()).toContain("/home/node/.claude/skills/given");
      const list = "cat file; ls ~/.claude/skills 2>/dev/null; exit 1";
      expect((await resume([], list)).stdout).toBe("mine\n");
      expect(attempted()).toBeUndefined();
    },
  );

  it("refuses what a manifest would be refused for, and what it is not told in a known form", async () => {
    await kept();
    const cases: readonly (readonly [string, string])[] = [
      ["env:HTTPS_PROXY", "cannot be set here: the bottle sets it"],
      ["env:SITE_TOKEN", "env.SITE_TOKEN would give SITE_TOKEN to the agent: it is a credential"],
      ["env:A=b", "takes no value: a command line is seen by others"],
      ["env:not-a-name", "is not a variable's name"],
      ["mount:/:/mnt/host", "would show the host itself to the guest"],
      [`mount:${cli.home}:/mnt/x`, "would show"],
      ["mount:/no/such/folder:/mnt/x", "does not exist"],
      ["mount:/usr/share:/etc", "is a place that the bottle fills itself"],
      ["mount:/usr/share", "is not understood"],
      ["image:debian", "is not understood"],
      ["manifest:x", "is not understood"],
    ];
    const before = readFileSync(join(cli.home, "state", id, "bottle.json"), "utf8");
    for (const [wanted, why] of cases) {
      const run = await resume([wanted], "true");
      expect([wanted, run.code, run.stdout]).toEqual([wanted, 1, ""]);
      expect(run.stderr).toContain(why);
    }
    expect(readFileSync(join(cli.home, "state", id, "bottle.json"), "utf8")).toBe(before);
  });

  it("does not make another product, another agent or a running bottle of it", async () => {
    await kept();
    cli.write("h/bottles/sh.md", "---\negress: {}\n---\n");
    expect((await resume(["manifest"], "true", { ANTHROPIC_API_KEY: "x" })).stderr).toContain(
      "the manifest has another provider by now: claude, and this bottle command",
    );
    manifest();
    const detached = await cli.run(["resume", id, "--yes", "--detach", "-p", "sleep 600"], {
      env: { SITE_TOKEN: "value" },
    });
    expect(detached.code).toBe(0);
    const running = await resume(["env:STAGE"], "true", { STAGE: "x" });
    expect(running.stderr).toContain(`bottle stop ${id}, then run this again`);
    await cli.run(["stop", id]);
  });

  it("I5: asks about a repository's agent whose text is another by now, which --yes does not answer", async () => {
    const folder = await cli.repository("brought");
    const agents = join(folder, ".bot-bottle", "agents");
    mkdirSync(agents, { recursive: true });
    const write = (text: string): void =>
      writeFileSync(join(agents, "theirs.md"), `---\nbottle: sh\n---\n${text}\n`);
    manifest({ ...BOTTLE, repo_agents: true });
    write("Be good.");
    const env = { SITE_TOKEN: "value" };
    const cwd = folder;
    const first = cli.terminal(["start", "theirs", "-p", "echo mine > file; exit 1"], { cwd, env });
    await first.shows("to approve this text");
    const typed = /type([0-9a-f]{6})toapprove/.exec(first.shown())?.[1] ?? "none";
    first.type(`${typed}\r`);
    expect(await first.exit).toBe(1);
    id = cli.kept()[0] ?? "none";
    const again = (): ReturnType<BottleCli["run"]> =>
      cli.run(["resume", id, "--yes", "--with", "manifest", "-p", "cat file; exit 1"], { cwd, env });
    expect((await again()).stdout).toBe("mine\n");
    write("Be bad.");
    const changed = await again();
    expect([changed.code, changed.stdout]).toEqual([1, ""]);
    expect(changed.stderr).toContain("--yes does not approve it");
    // Where the name is somebody else's, it is not the same agent.
    writeFileSync(join(cli.home, "agents", "theirs.md"), "---\nbottle: sh\n---\n", { mode: 0o600 });
    expect((await again()).stderr).toContain("the manifest has another file for the agent by now");
  });
});
