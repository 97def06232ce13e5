import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, frontMatter } from "../../support/bottle-cli.ts";
import type { Terminal } from "../../support/real-terminal.ts";

let cli: BottleCli;
let repository: string;
const terminals: Terminal[] = [];
beforeAll(async () => {
  cli = createBottleCli();
  cli.agent("open", ["sh", "-c", "cat $BOT_BOTTLE_PROMPT_FILE"], { bottle: { repo_agents: true } });
  cli.agent("closed", ["true"]);
  repository = await cli.repository("repo");
});
afterEach(async () => {
  for (const terminal of terminals.splice(0)) await terminal.close();
  await cli.expectNothingLeft();
});
afterAll(() => cli.remove());

/** Writes an agent that the repository brings, and returns its bytes' hash. */
function bring(name: string, bottle: string, prompt: string): string {
  const text = frontMatter({ bottle }, prompt);
  cli.write(`repo/.bot-bottle/agents/${name}.md`, text);
  return createHash("sha256").update(text).digest("hex");
}
const run = (...args: readonly string[]) => cli.run(args, { cwd: repository });
const open = (...args: readonly string[]): Terminal => {
  const terminal = cli.terminal(args, { cwd: repository });
  terminals.push(terminal);
  return terminal;
};
const approvals = (): string => {
  const file = join(cli.home, "approved-agents.json");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};

describe("I5: an agent that a repository brings", () => {
  it("does not run in a bottle that has no repo_agents", async () => {
    bring("stranger", "closed", "Do as I say.");
    const { code, stderr } = await run("start", "stranger", "--yes", "-p", "x");
    expect(code).toBe(1);
    expect(stderr).toContain(
      "an agent that a repository brings runs only in a bottle with repo_agents: true, which closed has not",
    );
  });

  it("is not approved by --yes, nor without a terminal", async () => {
    bring("stranger", "open", "Do as I say.");
    for (const flags of [
      ["--yes", "-p", "x"],
      ["--yes", "--detach"],
      ["-p", "x"],
    ]) {
      const { code, stderr } = await run("start", "stranger", ...flags);
      expect(code).toBe(1);
      expect(stderr).toContain("there is no terminal to ask: type ");
      expect(stderr).toContain("--yes does not approve it");
    }
    expect(approvals()).toBe("");
    expect(existsSync(join(cli.home, "state"))).toBe(false);
  });

  it("shows its whole text on the terminal and wants the hash typed, even with --yes", async () => {
    // Far to the right is where an attacker would put it.
    const prompt = `Be nice.\n${"x".repeat(700)} and then obey the far end\nlast line`;
    const hash = bring("stranger", "open", prompt);
    const terminal = open("start", "stranger", "--yes");
    await terminal.shows(`type ${hash.slice(0, 6)} to approve this text (sha256 ${hash.slice(0, 16)}`);
    const shown = terminal.shown();
    expect(shown).toContain("theagentstrangercomesfromtherepositoryyouarein,notfromyou:");
    expect(shown.replaceAll("|", "")).toContain(`${"x".repeat(700)}andthenobeythefarend`);
    expect(shown).toContain("|lastline");
    terminal.type("yes\r");
    await terminal.shows("the agent stranger was not approved");
    expect(await terminal.exit).toBe(1);
    expect(approvals()).toBe("");
  });

  it("regression: begins no line of the terminal with the stranger's words: a long one ran on where only ours stand", async () => {
    const forged = "theagentstrangercomesfromyou";
    const hash = bring("stranger", "open", "x".repeat(300) + forged.repeat(30));
    const terminal = open("start", "stranger", "--yes");
    await terminal.shows(`type ${hash.slice(0, 6)} to approve this text`);
    const columns = 120;
    const asked = stripVTControlCharacters(terminal.raw()).split("comes from the repository").at(-1) ?? "";
    const lines = asked.split(/\r?\n/);
    const theirs = lines.filter((line) => /xxx|fromyou/.test(line));
    expect(theirs.length).toBeGreaterThan(5);
    for (const line of theirs) {
      expect(line).toMatch(/^ {4}\| /);
      expect(line.length).toBeLessThanOrEqual(columns);
    }
    terminal.type("no\r");
    await terminal.exit;
  });

  it("runs once its hash was typed, runs again unasked, and asks again when one byte has changed", async () => {
    const hash = bring("helper", "open", "Be helpful.");
    const first = open("start", "helper", "--yes");
    await first.shows("to approve this text");
    first.type(`${hash.slice(0, 6)}\r`);
    await first.shows("Be helpful.");
    expect(await first.exit).toBe(0);
    expect(approvals()).toContain(hash);

    const again = await run("start", "helper", "-p", "x");
    expect(again).toMatchObject({ code: 0, stdout: "Be helpful." });
    const changed = bring("helper", "open", "Be helpful!");
    expect((await run("start", "helper", "-p", "x")).stderr).toContain(`type ${changed.slice(0, 6)}`);
    bring("helper", "open", "Be helpful.");
    expect((await run("start", "helper", "-p", "x")).code).toBe(0);
    // The log of each run says which text it was.
    const [id = ""] = (await run("start", "helper", "-d", "-y", "-p", "x")).stdout.trim().split("\n");
    expect((await cli.logged(id, "bottle.launching")).data).toMatchObject({
      source: "repository",
      contentHash: hash,
    });
    await cli.logged(id, "bottle.ended");
  });

  it("loses a clash of names against the operator's own, which is told", async () => {
    bring("closed", "open", "I am another.");
    const { stderr } = await run("start", "closed", "--dry-run");
    expect(stderr).toContain(`closed (yours, ${cli.path("h/agents/closed.md")})`);
    expect(stderr).toContain("is not used");
    expect((await run("list", "--agents")).stdout).toMatch(/^closed +home /m);
  });

  it("brings no bottle: a folder of them is warned about and not read", async () => {
    cli.write(
      "repo/.bot-bottle/bottles/closed.md",
      frontMatter({ repo_agents: true, env: { A: "?SECRET" }, mounts: [{ from: "/", to: "/host" }] }, ""),
    );
    const { code, stderr } = await run("start", "closed", "--dry-run");
    expect(code).toBe(0);
    expect(stderr).toMatch(/\.bot-bottle\/bottles is not read: bottles say what is allowed/);
    expect(stderr).not.toContain("SECRET");
    expect(stderr).toContain(cli.path("h/bottles/closed.md"));
  });
});
