/** The real Claude Code in a real bottle, on a terminal and without one; only its model is a stand-in. */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type MessagesApi, type ScriptedTurn, startMessagesApi } from "../../doubles/upstreams.ts";
import { BOTTLE, createRealOperator, pause, type RealOperator } from "../../support/real-bottle.ts";
import { openTerminal, type Terminal } from "../../support/real-terminal.ts";

const KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");
const TOKEN = ["sk", "ant", "oat01", randomBytes(18).toString("hex")].join("-");

let operator: RealOperator;
let api: MessagesApi | undefined;

beforeAll(async () => {
  operator = await createRealOperator();
});
afterAll(() => operator.remove());
afterEach(() => api?.close());

/** A model that says `script`, found at its real name by the bottle of the agent `claude`. */
async function model(script: readonly ScriptedTurn[]): Promise<MessagesApi> {
  api = await startMessagesApi({
    tls: await operator.authority.issue(["api.anthropic.com"]),
    credentials: [
      { header: "x-api-key", value: KEY },
      { header: "authorization", value: `Bearer ${TOKEN}` },
    ],
    script,
  });
  leadTo(`127.0.0.1:${api.port}`);
  return api;
}

function leadTo(address: string): void {
  operator.agent("claude", {
    agent_provider: { template: "claude" },
    egress: {
      upstream_ca: [operator.caFile],
      routes: [{ host: "api.anthropic.com", connect_to: address }],
    },
  });
}

function idIn(stderr: string): string {
  return /^bottle (\S+)$/m.exec(stderr)?.[1] ?? expect.fail(`no bottle: ${stderr}`);
}

/** What egress was asked, by the log: `allowed POST api.anthropic.com/v1/messages`. */
function askedOf(id: string): ReadonlySet<string> {
  return new Set(
    operator.log(id).flatMap(({ event, data }) => {
      if (event === "egress.allowed") return [`allowed ${data["method"]} ${data["host"]}${data["path"]}`];
      return event === "egress.denied" ? [`denied ${data["code"]} ${data["target"]}`] : [];
    }),
  );
}

/** All that Claude Code asks for by itself; its reports, updates and plugins ask for more. */
const EXPECTED = [
  "allowed GET api.anthropic.com/api/claude_code/policy_limits",
  "allowed GET api.anthropic.com/api/claude_code/settings",
  "allowed POST api.anthropic.com/v1/messages",
];

function expectNothingElseAsked(id: string): void {
  expect([...askedOf(id)].filter((line) => !EXPECTED.includes(line))).toEqual([]);
}

const CREDENTIALS = [
  { what: "an API key", env: { ANTHROPIC_API_KEY: KEY }, header: "x-api-key", value: KEY },
  {
    what: "a subscription's token",
    env: { CLAUDE_CODE_OAUTH_TOKEN: TOKEN },
    header: "authorization",
    value: `Bearer ${TOKEN}`,
  },
] as const;

describe("claude, headless in a bottle", () => {
  it.each(CREDENTIALS)(
    "given $what outside, answers, works without asking, and never has it",
    async ({ env, header, value }) => {
      const { requests, toolResults } = await model([
        {
          tool: "Bash",
          input: { command: "printenv; curl -sS https://elsewhere.test/; echo done > done.txt" },
        },
        { tool: "WebFetch", input: { url: "http://elsewhere.test/page", prompt: "What does it say?" } },
        { text: "The work is done." },
      ]);
      const run = await operator.bottle(["start", "claude", "--cwd", "--prompt", "work"], { env });
      expect(run).toMatchObject({ code: 0, stdout: "The work is done.\n" });
      const id = idIn(run.stderr);

      const turns = requests.filter(({ method }) => method === "POST");
      expect(turns.length).toBeGreaterThanOrEqual(3);
      for (const { headers } of turns) expect(headers[header]).toBe(value);
      const [shell = "", fetched = ""] = toolResults();
      expect(shell).toContain("HOME=/home/node");
      expect(shell).toContain('"ask":{"tool":"request_access","arguments":{"host":"elsewhere.test"');
      expect(fetched).toMatch(/403|denied|closed/i);
      for (const secret of [KEY, TOKEN])
        expect(requests.some(({ body }) => body.includes(secret))).toBe(false);

      const denied = [...askedOf(id)].filter((line) => !EXPECTED.includes(line));
      expect(denied.length).toBeGreaterThan(0);
      expect(
        denied.every((line) => line.startsWith("denied host-not-allowed") && line.includes("elsewhere.test")),
      ).toBe(true);

      const pulled = await operator.bottle(["pull", id]);
      expect(pulled.code).toBe(0);
      expect(await operator.git("show", `refs/bottles/${id}/uncommitted:done.txt`)).toBe("done");
      expect((await operator.bottle(["rm", id])).code).toBe(0);
    },
  );

  it("fails at once, and says why, when egress denies its model", async () => {
    // A name that leads to a private address: denied like any host that nobody allowed.
    leadTo("localhost:443");
    const from = performance.now();
    const run = await operator.bottle(["start", "claude", "--prompt", "hello"], {
      env: { ANTHROPIC_API_KEY: KEY },
    });
    expect(performance.now() - from).toBeLessThan(60_000);
    expect(run.code).toBe(1);
    expect(run.stdout).toContain("403");
    expect(run.stdout).toContain("address-refused");
    const id = idIn(run.stderr);
    expect([...askedOf(id)].every((line) => line.startsWith("denied address-refused "))).toBe(true);
    expect(run.stderr).toContain(`bottle resume ${id}`);
    await operator.bottle(["rm", "--force", id]);
  });
});

describe("claude on a terminal", () => {
  const open = (...args: readonly string[]): Terminal =>
    openTerminal([process.execPath, BOTTLE, ...args], {
      cwd: operator.repository,
      env: { ...operator.env, ANTHROPIC_API_KEY: KEY },
    });

  async function say(terminal: Terminal, text: string, answer: string): Promise<void> {
    terminal.type(text);
    await terminal.shows(text);
    terminal.type("\r");
    // It takes an Enter just behind a text for pasted when it is slow to read: that begins a line, and the next one enters.
    const again = setInterval(() => terminal.type("\r"), 3_000);
    await terminal.shows(answer).finally(() => clearInterval(again));
  }

  it("is ready without a dialog, works, is left and joined again, ended, and resumed where it was", async () => {
    const { requests } = await model([
      { tool: "Bash", input: { command: "echo changed >> README.md" } },
      { text: "All is well here." },
      // Sometimes it puts words of its own between what was said and what is asked next.
      ...Array<ScriptedTurn>(3).fill({ text: "As I said: well." }),
    ]);
    const first = open("start", "claude", "--cwd", "--yes");
    await first.shows("bypass permissions on");
    await say(first, "is all well?", "All is well here.");
    expect(first.shown()).not.toMatch(/Entertoconfirm|Doyouwant|trustthis|missingorbroken|Doyoutrust/);
    const id = /bottle(claude-[a-z0-9]{5})/.exec(first.shown())?.[1] ?? expect.fail(first.shown());
    first.type("\x1d");
    expect(await first.exit).toBe(0);
    expect(first.shown()).toContain(`detached;theagentgoeson.bottleattach${id}`);

    const second = open("attach", id);
    await second.shows("All is well here.");
    await second.shows("bypass permissions on");
    // Drawn anew for the terminal there is now, not only played again.
    second.forget();
    second.resize(90, 30);
    await second.shows("bypass permissions on");
    second.type("/exit");
    await second.shows("/exit");
    await pause(200);
    second.type("\r");
    expect(await second.exit).toBe(0);
    expect(second.shown()).toContain(`workof${id}:1uncommittedfile(+1-0)`);

    const diff = await operator.bottle(["diff", id]);
    expect(diff.stdout).toContain("+changed");
    expect((await operator.bottle(["pull", id])).code).toBe(0);
    expect(await operator.git("show", `refs/bottles/${id}/uncommitted:README.md`)).toBe(
      "# A project\nchanged",
    );
    expect(await operator.git("status", "--porcelain")).toBe("");

    const third = open("resume", id, "--yes");
    await third.shows("bypass permissions on");
    await third.shows("All is well here.");
    await say(third, "once more?", "As I said: well.");
    const conversation = requests.findLast(({ method }) => method === "POST")?.body ?? "";
    for (const earlier of ["is all well?", "All is well here.", "once more?"])
      expect(conversation).toContain(earlier);
    third.type("\x03");
    await third.shows("again to exit");
    third.type("\x03");
    expect(await third.exit).toBe(0);
    expectNothingElseAsked(id);
    expect((await operator.bottle(["audit", "verify", id])).code).toBe(0);
    expect((await operator.bottle(["rm", "--force", id])).code).toBe(0);
    expect((await operator.bottle(["list", "--json"])).stdout).not.toContain(id);
  });
});
