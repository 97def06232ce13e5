import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Allowed } from "../../../src/approvals/allowed.ts";
import type { Ask } from "../../../src/contract/approvals.ts";
import { BOTTLE, type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";
import { askHost, type InboxBottle, openInboxBottle } from "../../support/inbox-bottle.ts";
import { openTmux } from "../../support/tmux.ts";

let cli: BottleCli;
let open: InboxBottle | undefined;
let counter = 0;
beforeAll(() => {
  cli = createBottleCli();
});
afterAll(() => cli.remove());

const BASE = `---
# What all of mine may do.
agent_provider: {template: command, command: ["true"]}
egress:
  routes:
    - host: docs.test        # reading only
      matches: [{methods: [GET]}]
---
Words for people.
`;
const HEIR = "---\nextends: base\nresources: {cpus: 2}\n---\n";

beforeEach(() => {
  cli.write("h/bottles/base.md", BASE);
  cli.write("h/bottles/heir.md", HEIR);
  cli.write("h/agents/worker.md", "---\nbottle: heir\n---\nWork.\n");
  cli.write("h/agents/reader.md", "---\nbottle: base\n---\nRead.\n");
  cli.write("h/agents/broken.md", "---\nbottle: [\n---\n");
  cli.write("h/agents/other.md", "---\nbottle: claude\n---\n");
});
afterEach(async () => {
  await open?.end();
  open = undefined;
});

async function bottle(manifest = "heir", planned: Partial<Allowed> = {}): Promise<InboxBottle> {
  const id = `worker-${String(++counter).padStart(5, "0")}`;
  open = await openInboxBottle(cli, id, { manifest, planned });
  return open;
}

function file(name: string): string {
  return readFileSync(cli.path("h", "bottles", `${name}.md`), "utf8");
}

async function answered(
  ticket: string,
  keys: string,
  before: () => void = () => {},
): Promise<readonly [number, string]> {
  const terminal = cli.terminal(["inbox", "approve", ticket, "--always"]);
  try {
    await terminal.shows("[y/N]");
    before();
    terminal.type(keys);
    return [await terminal.exit, terminal.shown()];
  } finally {
    await terminal.close();
  }
}

/** Names in the folder of bottles: nothing half written may be left there. */
function names(): readonly string[] {
  return readdirSync(cli.path("h", "bottles")).sort();
}

describe("bottle inbox approve --always", () => {
  it("shows the diff and every agent that inherits the file, then writes and gives", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test", ["GET", "POST"]));
    const [code, shown] = await answered(ticket, "y\r");
    expect(code).toBe(0);
    expect(shown).toContain(`would be written: ${cli.path("h", "bottles", "base.md")}`.replaceAll(" ", ""));
    expect(shown).toContain("+-host:api.x.test");
    expect(shown).toContain("reader(bottlebase):GET,POSTapi.x.test/v1/*");
    expect(shown).toContain("worker(bottleheir):GET,POSTapi.x.test/v1/*");
    expect(shown).not.toMatch(/other\(bottle|broken\(bottle/);
    expect(file("base")).toBe(
      BASE.replace(
        "      matches: [{methods: [GET]}]\n",
        `      matches: [{methods: [GET]}]
    - host: api.x.test
      matches:
        - paths:
            - type: prefix
              value: /v1
          methods:
            - GET
            - POST
`,
      ),
    );
    expect(file("heir")).toBe(HEIR);
    expect(one.inbox.view().grants).toMatchObject([{ ticket, expiresAt: null }]);
    const [line] = cli.log(one.id).filter(({ event }) => event === "request.approved");
    expect(line?.data).toMatchObject({ terms: { lifetime: "always" } });
    const info = JSON.parse((await cli.run(["info", "worker", "--json"])).stdout);
    expect(JSON.stringify(info)).toContain("api.x.test");
    expect(names()).toEqual(["base.md", "heir.md"]);
  });

  it("writes nothing without a yes, and nothing when the approval is refused", async () => {
    const one = await bottle();
    const [ticket, other] = [await one.ask(askHost("api.x.test")), await one.ask(askHost("b.test"))];
    expect((await answered(ticket, "n\r"))[0]).toBe(1);
    expect(file("base")).toBe(BASE);
    const digest = one.inbox.view().pending.find((each) => each.ticket === other)?.digest ?? "";
    const approving: Promise<void>[] = [];
    const [code, shown] = await answered(ticket, "y\r", () => {
      approving.push(one.inbox.approve({ op: "approve", token: "", ticket: other, digest, by: "somebody" }));
    });
    await Promise.all(approving);
    expect([code, shown]).toEqual([1, expect.stringContaining("lookatitagain")]);
    expect(file("base")).toBe(BASE);
    expect(names()).toEqual(["base.md", "heir.md"]);
  });

  it("approves nothing when the file was changed between the showing and the yes", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const edited = BASE.replace("docs.test", "papers.test");
    const [code, shown] = await answered(ticket, "y\r", () =>
      writeFileSync(cli.path("h", "bottles", "base.md"), edited),
    );
    expect([code, shown]).toEqual([1, expect.stringContaining("waschangedmeanwhile")]);
    expect(file("base")).toBe(edited);
    expect(one.inbox.view().grants).toEqual([]);
  });

  it("leaves to the operator what a file cannot say so that exactly this is allowed", async () => {
    cli.write("h/bottles/heir.md", `---\nextends: base\nagent_provider: {template: claude}\n---\n`);
    const one = await bottle();
    const provider = await one.ask(askHost("api.anthropic.com", ["DELETE"], "/v1/files"));
    const refused = await cli.run(["inbox", "approve", provider, "--always"]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("would not allow: DELETE api.anthropic.com"),
    });
    expect(refused.stderr).toContain("--session");
    const finding = await one.ask({ kind: "finding", host: "docs.test", detector: "d", finding: "f" });
    expect((await cli.run(["inbox", "approve", finding, "--always"])).stderr).toContain(
      "nothing that lasts could know it again",
    );
    expect(file("base")).toBe(BASE);
    expect(one.inbox.view().pending).toHaveLength(2);
    expect(names()).toEqual(["base.md", "heir.md"]);
  });

  it("writes down what a repository's rules except, for that path alone, and knows it from then on", async () => {
    const bare = cli.path("app.git");
    execFileSync("git", ["init", "--quiet", "--bare", bare]);
    const before = `---
agent_provider: {template: command, command: ["true"]}
git-gate:
  repos:
    app:
      url: ${bare}
---
`;
    cli.write("h/bottles/base.md", before);
    const planned = { repos: [{ name: "app", upstream: bare, refs: [] }] };
    const one = await bottle("heir", planned);
    const ask: Ask = {
      kind: "git-exception",
      repo: "app",
      code: "path-protected",
      subjects: [".github/workflows/x.yml"],
    };
    const ticket = await one.ask(ask);
    const [code, shown] = await answered(ticket, "y\r");
    expect(code).toBe(0);
    const what = `path-protected passes at repository app at ${bare}: .github/workflows/x.yml`.replaceAll(
      " ",
      "",
    );
    expect(shown).toContain(`worker(bottleheir):${what}`);
    expect(file("base")).toBe(
      before.replace(
        `      url: ${bare}\n`,
        `      url: ${bare}
      exceptions:
        - code: path-protected
          subjects:
            - .github/workflows/x.yml
`,
      ),
    );
    // Asked in a bottle that was made before: the next one may do it.
    await one.end();
    const other = await bottle("heir", planned);
    const again = await cli.run(["inbox", "approve", await other.ask(ask), "--always"]);
    expect(again.stdout + again.stderr).toContain("heir allows it already");
  });

  it("keeps what a wildcard, a preset and an heir's own say, or says why it cannot", async () => {
    cli.write(
      "h/bottles/base.md",
      `---
agent_provider: {template: command, command: ["true"]}
egress:
  presets: [github-read]
  routes:
    - host: "*.x.test"
      auth: {scheme: Bearer, token_ref: X_TOKEN}
      matches: [{methods: [GET], paths: [{type: regex, value: "/r/[a-z]+"}]}]
---
`,
    );
    const one = await bottle();
    const wild = await one.ask(askHost("api.x.test", ["PUT"]));
    const [code, shown] = await answered(wild, "y\r");
    expect([code, shown]).toEqual([
      0,
      expect.stringContaining("worker(bottleheir):PUTapi.x.test/v1/*withX_TOKEN"),
    ]);
    expect(file("base")).toContain("host: api.x.test");
    expect(file("base").match(/token_ref: X_TOKEN/g)).toHaveLength(2);
    const preset = await one.ask(askHost("github.com", ["POST"], "/x"));
    const before = file("base");
    const refused = await cli.run(["inbox", "approve", preset, "--always"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("it would not allow")]);
    expect(file("base")).toBe(before);
    cli.write(
      "h/bottles/heir.md",
      "---\nextends: base\negress: {routes: [{host: own.test, matches: [{methods: [GET]}]}]}\n---\n",
    );
    const own = await one.ask(askHost("own.test", ["POST"]));
    expect((await answered(own, "y\r"))[1]).toContain("heir.md");
    expect(file("base")).toBe(before);
    expect(file("heir")).toContain('{routes: [{host: own.test, matches: [{methods: [GET]}, {"paths"');
  });

  it("adds refs of a repository, for every bottle that will be", async () => {
    const bare = cli.path("bare.git");
    await cli.git(cli.folder, "init", "--quiet", "--bare", bare);
    cli.write(
      "h/bottles/base.md",
      `${BASE.slice(0, BASE.indexOf("---\nWords"))}git-gate:\n  repos:\n    app: {url: ${bare}}\n---\n`,
    );
    const refs = [{ pattern: "refs/heads/bottle/x/*", force: false, delete: false }];
    open = await openInboxBottle(cli, `worker-${String(++counter).padStart(5, "0")}`, {
      manifest: "heir",
      planned: { repos: [{ name: "app", upstream: bare, refs }] },
    });
    const ticket = await open.ask({
      kind: "repository",
      repo: "app",
      refs: ["refs/heads/main"],
      force: true,
      delete: false,
    });
    const [code, shown] = await answered(ticket, "y\r");
    expect([code, shown]).toEqual([0, expect.stringContaining("force-pushtorefs/heads/maininapp")]);
    expect(file("base")).toContain(
      '"refs": ["refs/heads/bottle/{id}/*",{"ref":"refs/heads/main","force":true}]',
    );
    expect((await cli.run(["info", "worker"])).code).toBe(0);
  });

  it("says so when the manifest has it already, and gives it", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("docs.test", ["GET"], "/x"));
    const [code, shown] = await answered(ticket, "y\r");
    expect([code, shown]).toEqual([0, expect.stringContaining("nothingwouldbewritten")]);
    expect(file("base")).toBe(BASE);
    expect(one.inbox.view().grants).toHaveLength(1);
  });

  it("makes a file of the built-in bottle, which still is what it was besides", async () => {
    const one = await bottle("claude");
    const ticket = await one.ask(askHost("api.x.test"));
    const [code, shown] = await answered(ticket, "y\r");
    expect([code, shown]).toEqual([0, expect.stringContaining("wouldbemade")]);
    expect(shown).toContain("other(bottleclaude):GETapi.x.test/v1/*");
    expect(file("claude")).toContain("template: claude");
    const info = JSON.parse((await cli.run(["info", "claude", "--json"])).stdout);
    expect(JSON.stringify(info)).toContain("api.x.test");
    expect(statSync(cli.path("h", "bottles", "claude.md")).mode & 0o777).toBe(0o600);
    renameSync(cli.path("h", "bottles", "claude.md"), cli.path("h", "gone"));
  });

  it("keeps a link a link, and the file's mode", async () => {
    renameSync(cli.path("h", "bottles", "base.md"), cli.path("u", "base.md"));
    chmodSync(cli.path("u", "base.md"), 0o640);
    symlinkSync(cli.path("u", "base.md"), cli.path("h", "bottles", "base.md"));
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    expect((await answered(ticket, "y\r"))[0]).toBe(0);
    expect(lstatSync(cli.path("h", "bottles", "base.md")).isSymbolicLink()).toBe(true);
    expect(file("base")).toContain("api.x.test");
    expect(statSync(cli.path("u", "base.md")).mode & 0o777).toBe(0o640);
    expect(readdirSync(cli.path("u")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    renameSync(cli.path("u", "base.md"), cli.path("h", "bottles", "base.md"));
  });

  it("does the same on the screen", async () => {
    const one = await bottle();
    const ticket = await one.ask(askHost("api.x.test"));
    const tmux = await openTmux(`${process.execPath} ${BOTTLE} inbox --watch`, {
      env: cli.env,
      cwd: cli.folder,
    });
    try {
      await tmux.shows("api.x.test");
      await tmux.keys("a");
      await tmux.shows("for how long?");
      await tmux.type("always");
      await tmux.keys("Enter");
      const sheet = await tmux.shows("y writes the manifest and approves");
      expect(sheet).toContain("+    - host: api.x.test");
      expect(file("base")).toBe(BASE);
      await tmux.keys("PageDown", "End");
      await tmux.shows("reader (bottle base): GET api.x.test/v1/*");
      await tmux.keys("y");
      await tmux.shows("in its manifest from now on");
      expect(file("base")).toContain("api.x.test");
      expect(one.inbox.view().grants).toMatchObject([{ ticket, expiresAt: null }]);
    } finally {
      await tmux.end();
    }
    expect(existsSync(cli.path("h", "bottles", "base.md"))).toBe(true);
  });
});
