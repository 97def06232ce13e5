import { readFileSync, writeFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLog } from "../../../src/audit/log.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

const ID = "dev-abc12";
const ZERO = "0".repeat(40);
const ONE = "1".repeat(40);
const TWO = "2".repeat(40);

let cli: BottleCli;
let path: string;
beforeAll(async () => {
  cli = createBottleCli();
  const log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: cli.home }), bottle: ID });
  path = log.path;
  await log.append("bottle.launching", { agent: "dev" });
  await log.append("git.fetched", { repo: "app", changed: 1, ms: 3 });
  await log.append("git.pushed", {
    ...{ repo: "app", commits: 2, objects: 6, bytes: 900, unopened: [], reviewed: false, ms: 20 },
    updates: [{ ref: "refs/heads/bottle/dev-abc12/x", old: ZERO, new: ONE }],
  });
  await log.append("git.refused", {
    ...{
      repo: "app",
      code: "secret-found",
      reason: "it holds a secret",
      target: "push app",
      rule: "aws",
      count: 1,
    },
    updates: [{ ref: "refs/heads/bottle/dev-abc12/x", old: ONE, new: TWO }],
    findings: [
      {
        rule: "aws-access-key",
        kind: "token",
        mark: "m",
        in: "file",
        path: "a\u001b[2J.txt",
        line: 7,
        commit: TWO,
      },
    ],
  });
  await log.append("git.unresolved", { repo: "app", updates: [], reason: "upstream went away" });
  await log.append("git-gate.died", { reason: "killed", restartInMs: 100 });
  await log.append("egress.allowed", { host: "example.com" });
  await log.close();
});
afterAll(() => cli.remove());

describe("bottle git log", () => {
  it("shows what was pushed, what was refused and why, without what a terminal obeys", async () => {
    const { code, stdout } = await cli.run(["git", "log", ID]);
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}/, ""));
    expect(lines.map((line) => line.trim())).toEqual([
      "fetched   app  1 ref changed",
      "pushed    app  2 commits, 6 objects",
      "refs/heads/bottle/dev-abc12/x  nothing -> 1111111111",
      "refused   app  secret-found: it holds a secret",
      "refs/heads/bottle/dev-abc12/x  1111111111 -> 2222222222",
      "aws-access-key in a\\u{1b}[2J.txt line 7, commit 2222222222",
      "UNKNOWN   app  upstream went away",
      'git-gate.died  {"reason":"killed","restartInMs":100}',
    ]);
  });

  it("regression: begins no line of a terminal with a pushed file's name, which could be a row of its own there", async () => {
    const other = "dev-abc13";
    const log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: cli.home }), bottle: other });
    await log.append("git.refused", {
      ...{ repo: "app", code: "secret-found", reason: "no", target: "push app", rule: "aws", count: 1 },
      updates: [],
      findings: [
        {
          ...{ rule: "aws", kind: "token", mark: "m", in: "file" },
          path: "forged ".repeat(40).trim(),
        },
      ],
    });
    await log.close();
    const terminal = cli.terminal(["git", "log", other]);
    expect(await terminal.exit).toBe(0);
    const lines = stripVTControlCharacters(terminal.raw()).split(/\r?\n/);
    const theirs = lines.filter((line) => line.includes("forged"));
    expect(theirs.length).toBeGreaterThan(2);
    for (const line of theirs) {
      expect(line).toMatch(/^ {23}/);
      expect(line.length).toBeLessThanOrEqual(120);
    }
  });

  it("gives the same as data", async () => {
    const { stdout } = await cli.run(["git", "log", ID, "--json"]);
    const entries = JSON.parse(stdout) as { event: string; data: Record<string, unknown> }[];
    expect(entries.map(({ event }) => event)).toEqual([
      ...["git.fetched", "git.pushed", "git.refused", "git.unresolved", "git-gate.died"],
    ]);
    expect(entries[1]?.data["updates"]).toEqual([
      { ref: "refs/heads/bottle/dev-abc12/x", old: ZERO, new: ONE },
    ]);
  });

  it("names what there is when there is no such bottle", async () => {
    const { code, stderr } = await cli.run(["git", "log", "dev-xxxxx"]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there is no bottle dev-xxxxx"),
    });
  });

  it("says that a line is not as it was written, and shows the rest", async () => {
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace("upstream went away", "nothing happened!!"));
    const { code, stdout, stderr } = await cli.run(["git", "log", ID]);
    writeFileSync(path, text);
    expect(code).toBe(1);
    expect(stderr).toContain("1 line of the log not as written");
    expect(stdout).not.toContain("nothing happened");
    expect(stdout).toContain("pushed    app");
  });
});
