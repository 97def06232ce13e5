import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeEach(() => {
  cli = createBottleCli();
  cli.agent("worker", ["true"]);
});
afterEach(async () => {
  await cli.expectNothingLeft();
  await cli.remove();
});

const FULL = {
  bottle: {
    env: { GREETING: "hello-value", ASKED: "?Your pass phrase", COPIED: { from: "MY_VARIABLE" } },
    egress: {
      routes: [
        {
          host: "api.example.com",
          matches: [{ paths: [{ type: "prefix", value: "/v1/issues" }], methods: ["GET", "POST"] }],
          auth: { scheme: "Bearer", token_ref: "EXAMPLE_TOKEN" },
        },
        { host: "docs.example.com" },
      ],
    },
    resources: { cpus: 2, memory: "1G" },
  },
  agent: { skills: ["review"] },
  prompt: "Do what is asked.\nAnd nothing else.",
};
const VALUES = { EXAMPLE_TOKEN: "token-value", MY_VARIABLE: "copied-value" };

describe("a dry run", () => {
  it("shows on stderr everything that will be, names of values and never the values", async () => {
    cli.agent("full", ["true"], FULL);
    cli.write("h/skills/review/SKILL.md", "Look twice.\n");
    const { code, stdout, stderr } = await cli.run(["start", "full", "--dry-run", "--cwd"], { env: VALUES });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    for (const part of [
      `agent  full (yours, ${cli.path("h/agents/full.md")}), runs command`,
      "prompt  Do what is asked.\n",
      "backend  namespace: Linux namespaces on the host's kernel",
      "api.example.com, with the credential EXAMPLE_TOKEN:\n",
      "GET, POST on /v1/issues and below",
      "docs.example.com: everything",
      "EXAMPLE_TOKEN, held by egress for api.example.com",
      "GREETING (from the manifest)",
      "ASKED (asked at launch: Your pass phrase)",
      "COPIED (your MY_VARIABLE)",
      `review (${cli.path("h/skills/review")})`,
      `a copy of ${cli.folder}`,
      "processors: 2, memory: 1 GiB, processes: 4096",
    ]) {
      expect(stderr).toContain(part);
    }
    expect(stderr).not.toMatch(/hello-value|token-value|copied-value|And nothing else/);
  });

  it("prints the same as data with --json", async () => {
    cli.agent("full", ["true"], { ...FULL, agent: {} });
    const { code, stdout, stderr } = await cli.run(["start", "full", "--dry-run", "--json"], { env: VALUES });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      agent: { name: "full", source: "home", prompt: "Do what is asked." },
      backend: { name: "namespace", usable: true, isolation: "namespace" },
      hosts: [
        {
          host: "api.example.com",
          credential: "EXAMPLE_TOKEN",
          rules: ["GET, POST on /v1/issues and below"],
        },
        { host: "docs.example.com", rules: [] },
      ],
      credentials: [{ tokenRef: "EXAMPLE_TOKEN", holder: "egress", available: true }],
      env: [{ name: "GREETING" }, { name: "ASKED" }, { name: "COPIED", available: true }],
      resources: { cpus: 2, memoryBytes: 2 ** 30 },
    });
    expect(stdout).not.toMatch(/hello-value|token-value|copied-value/);
  });

  it("creates nothing at all", async () => {
    const before = cli.tree();
    expect((await cli.run(["start", "worker", "--dry-run", "--cwd"])).code).toBe(0);
    expect((await cli.run(["start", "worker", "--dry-run", "--json", "--prompt", "x"])).code).toBe(0);
    expect(cli.tree()).toEqual(before);
  });

  it("creates nothing either where there is no home folder yet", async () => {
    rmSync(cli.home, { recursive: true });
    const before = cli.tree();
    const { code, stderr } = await cli.run(["start", "claude", "--dry-run"]);
    expect(code).toBe(0);
    expect(stderr).toContain("claude (built in), runs claude");
    expect(cli.tree()).toEqual(before);
  });
});

describe("a start that is refused", () => {
  /** Runs it, and holds it to creating nothing. */
  async function refused(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const before = cli.tree();
    const { code, stdout, stderr } = await cli.run(["start", ...args], { env });
    expect({ code, stdout, stderr }).toMatchObject({ code: 1, stdout: "" });
    expect(cli.tree()).toEqual(before);
    return stderr;
  }

  it("guesses which agent was meant", async () => {
    const stderr = await refused(["wroker", "--yes", "--detach"]);
    expect(stderr).toContain("did you mean");
    expect(stderr).toContain("worker");
  });

  it("names the agents there are when none was named and nobody can be asked", async () => {
    expect(await refused([])).toMatch(/which agent\?[\s\S]*bottle start <agent>; there are: claude, worker/);
  });

  it("tells the backends there are, for one that is not", async () => {
    expect(await refused(["worker", "--backend", "namespaec"])).toContain("did you mean namespace?");
    expect(await refused(["worker", "--backend", ""], { BOT_BOTTLE_BACKEND: "vm" })).toContain(
      "there is no backend vm",
    );
  });

  it("takes the backend from BOT_BOTTLE_BACKEND, and --backend before it", async () => {
    const env = { BOT_BOTTLE_BACKEND: "smolmachines" };
    // Nowhere on this PATH.
    expect(await refused(["worker", "--detach", "--yes"], env)).toContain("smolmachines lacks smolvm");
    const { code } = await cli.run(["start", "worker", "--dry-run", "--backend", "namespace"], { env });
    expect(code).toBe(0);
  });

  it("I7: does not take a weaker isolation than the bottle asks for", async () => {
    cli.agent("careful", ["true"], { bottle: { isolation: "vm" } });
    expect(await refused(["careful", "--yes", "--detach"])).toContain(
      "the bottle asks for isolation vm, and namespace gives namespace",
    );
  });

  it("says how to get the credential that is missing, also without any manifest", async () => {
    rmSync(cli.home, { recursive: true });
    const stderr = await refused(["claude", "--prompt", "hello"]);
    expect(stderr).toMatch(/error: .*is not set: the credential for api\.anthropic\.com/);
    expect(stderr).toContain("ANTHROPIC_API_KEY");
    expect(stderr).toContain("claude setup-token");
  });

  it("names a token and a variable of the operator's environment that are not there", async () => {
    cli.agent("full", ["true"], { ...FULL, agent: {} });
    const stderr = await refused(["full", "--prompt", "x"]);
    expect(stderr).toContain("EXAMPLE_TOKEN is not set: the credential for api.example.com");
    expect(stderr).toContain("MY_VARIABLE is not set: the agent's COPIED is copied from it");
    expect(stderr).toMatch(/next: {2}export EXAMPLE_TOKEN=/);
  });

  it("cannot ask for a value without a terminal, and says what to write instead", async () => {
    cli.agent("asking", ["true"], { bottle: { env: { PASSPHRASE: "?Your pass phrase" } } });
    const stderr = await refused(["asking", "--prompt", "x"]);
    expect(stderr).toContain("there is no terminal to ask: PASSPHRASE: Your pass phrase");
    expect(stderr).toContain(`set PASSPHRASE in the bottle as "\${PASSPHRASE}" and export it`);
  });

  it("needs a terminal for an interactive agent, and says what needs none", async () => {
    const stderr = await refused(["claude", "--yes"]);
    expect(stderr).toContain("an interactive agent needs a terminal");
    expect(stderr).toMatch(/--prompt .*--detach/);
  });

  it("says of a backend that was asked for what it lacks here, and not that there is none", async () => {
    const env = { BOT_BOTTLE_ENGINE: "docker", DOCKER_HOST: `unix://${cli.path("no.sock")}` };
    const { code, stderr } = await cli.run(["start", "worker", "--yes", "--backend", "docker"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: docker cannot run a bottle here\n {2}asked for by --backend\n {2}docker lacks /,
    );
  });

  it("does not go into the background unasked: --detach without a terminal wants --yes", async () => {
    const stderr = await refused(["worker", "--detach"]);
    expect(stderr).toContain("there is no terminal to ask: launch? [y/N]");
    expect(stderr).toContain("add --yes");
  });

  it("does not run a program of the operator's unasked either", async () => {
    expect(await refused(["worker"])).toContain("there is no terminal to ask: launch? [y/N]");
  });

  it("wants --dry-run or --detach with --json", async () => {
    expect(await refused(["worker", "--json", "--prompt", "x"])).toContain("--dry-run or --detach");
  });

  it("names the folder that cannot be the workspace, and undoes what was begun", async () => {
    const { code, stderr } = await cli.run(["start", "worker", "--prompt", "x", "--cwd", "/no/such/folder"]);
    expect(code).toBe(1);
    expect(stderr).toContain("error: there is no folder /no/such/folder\nnext:  name one with --cwd\n");
    expect(cli.kept()).toEqual([]);
  });
});

describe("the question before a launch", () => {
  it.each(["n", "", "yess"])("%j launches nothing", async (answer) => {
    const terminal = cli.terminal(["start", "worker"]);
    await terminal.shows("launch? [y/N]");
    terminal.type(`${answer}\r`);
    await terminal.shows("not launched");
    expect(await terminal.exit).toBe(0);
    expect(cli.tree().filter((path) => /^(h\/(state|audit)|r\/)/.test(path))).toEqual([]);
  });

  it("takes Ctrl-D for no, and Ctrl-C for the end of the command", async () => {
    const declined = cli.terminal(["start", "worker"]);
    await declined.shows("launch? [y/N]");
    declined.type("\x04");
    await declined.shows("not launched");
    expect(await declined.exit).toBe(0);
    const interrupted = cli.terminal(["start", "worker"]);
    await interrupted.shows("launch? [y/N]");
    interrupted.type("\x03");
    expect(await interrupted.exit).toBe(130);
    expect(cli.kept()).toEqual([]);
  });

  it.each(["y", "YES"])("%j launches", async (answer) => {
    const terminal = cli.terminal(["start", "worker"]);
    await terminal.shows("launch? [y/N]");
    terminal.type(`${answer}\r`);
    await terminal.shows("bottle worker-");
    expect(await terminal.exit).toBe(0);
    expect(cli.kept()).toEqual([]);
  });
});
