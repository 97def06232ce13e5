/** The real Claude Code goes on with its session in the same bottle, which has more by then. Its model is a stand-in. */
import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CHECK, claudeBottles, FIND_TOOLS, MODEL_KEY } from "../../support/claude-bottles.ts";

const world = claudeBottles();

describe("claude, resumed with more", () => {
  it("has the variable and the route, its workspace and the conversation so far", {
    timeout: 120_000,
  }, async () => {
    const look =
      "cat notes.txt; printenv STAGE; curl -sS -o /dev/null -w '%{http_code}' https://site.test/page";
    const { operator, site } = world;
    const model = await world.model([
      { tool: "Bash", input: { command: `echo kept > notes.txt; ${look}` } },
      { text: "STAGE is missing here." },
      { tool: "Bash", input: { command: look } },
      { text: "Now it is there." },
    ]);
    const bottle = (more: readonly object[]): void =>
      operator.agent("claude", {
        agent_provider: { template: "claude" },
        egress: world.egress(model, more),
      });
    bottle([]);
    const env = { ANTHROPIC_API_KEY: MODEL_KEY };
    const first = await operator.bottle(["start", "claude", "--cwd", "--prompt", "print the stage"], { env });
    expect(first).toMatchObject({ code: 0, stdout: "STAGE is missing here.\n" });
    const id = /^bottle (\S+)$/m.exec(first.stderr)?.[1] ?? expect.fail(first.stderr);

    bottle([{ host: "site.test", connect_to: `127.0.0.1:${site.port}` }]);
    const wanted = ["--with", "manifest", "--with", "env:STAGE"];
    const second = await operator.bottle(["resume", id, ...wanted, "--prompt", "once more, please"], {
      env: { ...env, STAGE: "rehearsal" },
    });
    expect(second).toMatchObject({ code: 0, stdout: "Now it is there.\n" });
    expect(second.stderr).toContain("+ may reach: site.test, at 127.0.0.1:");
    expect(second.stderr).toContain("+ agent gets: STAGE (your STAGE)");

    const [before, after] = model.toolResults();
    expect(before).toContain("403");
    expect(before).not.toContain("rehearsal");
    // The site's own answer; before, it was egress's.
    expect(after).toMatch(/^kept\nrehearsal\n404/);
    expect(site.requests.map(({ target }) => target)).toEqual(["/page"]);
    const last = model.requests.findLast(({ method }) => method === "POST")?.body ?? "";
    for (const said of ["print the stage", "STAGE is missing here.", "once more, please"])
      expect(last).toContain(said);
    expect((await operator.bottle(["audit", "verify", id])).code).toBe(0);
  });

  it("asks for what it lacks, is kept for it without any work, and goes on with it", {
    timeout: 120_000,
  }, async () => {
    const { operator } = world;
    const model = await world.model([
      FIND_TOOLS,
      {
        tool: "mcp__bottle__request_access",
        input: { variables: ["STAGE"], files: ["/mnt/data"], justification: "The task says so." },
      },
      CHECK,
      { text: "I wait for STAGE." },
      { tool: "Bash", input: { command: "printenv STAGE; cat /mnt/data/table" } },
      { tool: "ToolSearch", input: { query: "select:mcp__bottle__request_access" } },
      { tool: "mcp__bottle__request_access", input: { variables: ["STAGE"], files: ["/mnt/data/table"] } },
      { text: "All there." },
    ]);
    operator.agent("claude", {
      agent_provider: { template: "claude" },
      supervise: true,
      egress: world.egress(model),
    });
    const env = { ANTHROPIC_API_KEY: MODEL_KEY };
    const running = operator.bottle(["start", "claude", "--prompt", "work"], { env, timeoutMs: 60_000 });
    const { ticket, digest, described } = await world.waiting();
    expect(described).toEqual([
      "nothing by itself: file /mnt/data takes bottle resume --with mount:<from>:/mnt/data",
      "nothing by itself: variable STAGE takes bottle resume --with env:STAGE",
    ]);
    const approved = await operator.bottle(["inbox", "approve", ticket, "--yes", "--digest", digest]);
    expect(approved.stderr).toContain("agreed; it is given by bottle resume");
    const first = await running;
    expect(first).toMatchObject({ code: 0, stdout: "I wait for STAGE.\n" });
    expect(model.toolResults()[2]).toContain("It is not there yet: it comes when this bottle is resumed");
    expect(first.stderr).toContain("it waits for what its environment lacks:");
    expect(first.stderr).toContain("agreed: variable STAGE takes bottle resume --with env:STAGE");
    const id = /^bottle (\S+)$/m.exec(first.stderr)?.[1] ?? expect.fail(first.stderr);
    expect((await operator.bottle(["cleanup", "--yes"])).stdout).toBe("");

    mkdirSync(operator.path("data"));
    writeFileSync(operator.path("data", "table"), "of elements");
    const wanted = ["--with", "env:STAGE", "--with", `mount:${operator.path("data")}:/mnt/data`];
    const second = await operator.bottle(["resume", id, ...wanted, "--prompt", "here it is"], {
      env: { ...env, STAGE: "rehearsal" },
    });
    expect(second).toMatchObject({ code: 0, stdout: "All there.\n" });
    const [looked, , again] = model.toolResults().slice(-3);
    expect(looked).toContain("rehearsal\nof elements");
    expect(again).toContain("the bottle may do this already");
    // Nothing waits, and there is no work: the bottle is gone.
    expect((await operator.bottle(["list", "--json"])).stdout).not.toContain(id);
    expect((await operator.bottle(["audit", "verify", id])).code).toBe(0);
  });
});
