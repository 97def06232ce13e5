/** The real, pinned Claude Code against a stand-in of its API. Without a registry to get it from, these fail. */
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { GUEST } from "../../../src/contract/backend.ts";
import type { Route } from "../../../src/contract/policy.ts";
import type { ProviderCredential } from "../../../src/contract/provider.ts";
import { cacheOf } from "../../../src/lib/paths.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { claude } from "../../../src/providers/claude.ts";
import { CLAUDE_VERSION } from "../../../src/providers/claude-release.ts";
import { type InjectingProxy, startInjectingProxy } from "../../doubles/injecting-proxy.ts";
import { type MessagesApi, type ScriptedTurn, startMessagesApi } from "../../doubles/upstreams.ts";
import { type AgentGuest, type AgentGuestOptions, makeAgentGuest } from "../../support/agent-guest.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

/** 77 MB over whatever line the machine has. */
const INSTALL_TIMEOUT_MS = 600_000;

const SECRETS: Readonly<Record<string, string>> = {
  CLAUDE_CODE_OAUTH_TOKEN: ["sk", "ant", "oat01", "integration"].join("-"),
  ANTHROPIC_API_KEY: ["sk", "ant", "api03", "integration"].join("-"),
};

const request = { prompt: "", task: undefined, command: undefined };

let ca: TestCa;
let api: MessagesApi | undefined;
let proxy: InjectingProxy | undefined;
let guest: AgentGuest | undefined;

beforeAll(async () => {
  ca = await makeTestCa();
  await claude.install(cacheOf(), (text) => process.stderr.write(`${text}\n`));
}, INSTALL_TIMEOUT_MS);

afterAll(() => ca.remove());

afterEach(async () => {
  await guest?.remove();
  await proxy?.close();
  await api?.close();
});

interface Scene {
  readonly script: readonly ScriptedTurn[];
  readonly credential: ProviderCredential;
  /** What is injected; the operator's secret unless told otherwise. */
  readonly secret?: string;
  /** What may be reached; the provider's own routes unless told otherwise. */
  readonly routes?: readonly Route[];
  readonly prompt?: string;
  readonly task?: string;
  readonly guest?: Pick<AgentGuestOptions, "keep" | "workspace">;
}

async function scene(options: Scene) {
  const { credential } = options;
  const header = (secret: string): string => credential.format.replace("{}", secret);
  const secret = SECRETS[credential.tokenRef] ?? "";
  api = await startMessagesApi({
    tls: await ca.issue(["api.anthropic.com"]),
    credentials: [{ header: credential.header as "x-api-key", value: header(secret) }],
    script: options.script,
  });
  proxy = await startInjectingProxy({
    ca,
    routes: options.routes ?? claude.routes,
    inject: { header: credential.header, value: header(options.secret ?? secret) },
    upstream: api,
  });
  const setup = claude.setup({ ...request, prompt: options.prompt ?? "", task: options.task });
  guest = await makeAgentGuest({
    provider: claude,
    setup,
    placeholder: credential.placeholder,
    proxy: proxy.url,
    caFile: ca.file,
    ...options.guest,
  });
  return { api, proxy, guest, setup };
}

/** Requests to the model, not to the organisation's rules. */
function turns(from: MessagesApi) {
  return from.requests.filter((one) => one.target.startsWith("/v1/messages"));
}

const apiKey = claude.credentials.find((one) => one.tokenRef === "ANTHROPIC_API_KEY")!;

describe("the installed claude", () => {
  it("is the pinned release, mounted where the argv says", async () => {
    const [mount] = await claude.install(cacheOf(), () => {});
    const { stdout } = await runOk([join(mount?.from ?? "", "claude"), "--version"]);
    expect(stdout.toString()).toBe(`${CLAUDE_VERSION} (Claude Code)\n`);
    expect(claude.setup(request).argv[0]).toBe(`${mount?.to}/claude`);
  });

  it("costs a later start neither npm nor a word of progress", async () => {
    const path = process.env["PATH"];
    const told: string[] = [];
    process.env["PATH"] = "/nowhere";
    try {
      await claude.install(cacheOf(), (text) => told.push(text));
    } finally {
      process.env["PATH"] = path;
    }
    expect(told).toEqual([]);
  });
});

describe.each(claude.credentials)("claude with $tokenRef outside", (credential) => {
  it("reaches a first answer, and holds nothing but the placeholder", async () => {
    const { api, proxy, guest, setup } = await scene({
      credential,
      task: "what does the environment say?",
      script: [{ tool: "Bash", input: { command: "printenv" } }, { text: "I have seen it." }],
    });
    const result = await guest.run(setup.argv);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout.toString()).toBe("I have seen it.\n");

    const placeholder = Object.values(credential.placeholder)[0] ?? "";
    const [environment] = api.toolResults();
    expect(environment).toContain(`HOME=${dirname(guest.workspace)}`);
    expect(environment).not.toContain(SECRETS[credential.tokenRef]);
    expect(turns(api)).toHaveLength(2);
    for (const { headers } of turns(api)) {
      expect(headers[credential.header]).toContain(SECRETS[credential.tokenRef]);
      expect(JSON.stringify(headers)).not.toContain(placeholder);
    }
    expect(proxy.denied).toEqual([]);
  });

  it("is ready on a terminal without a dialog, answers, and asks no other host", async () => {
    const { proxy, guest, setup } = await scene({
      credential,
      script: [
        { tool: "Bash", input: { command: "touch made-by-the-agent" } },
        { text: "All is well here." },
      ],
      guest: {
        // Everything that a repository can bring along to make it ask.
        workspace: {
          ".git/HEAD": "ref: refs/heads/main\n",
          ".mcp.json": JSON.stringify({ mcpServers: { one: { command: "true" } } }),
          "CLAUDE.md": "@/etc/hostname\n",
          ".claude/settings.json": JSON.stringify({
            permissions: { allow: ["Bash"] },
            hooks: { SessionStart: [{ hooks: [{ type: "command", command: "true" }] }] },
          }),
        },
      },
    });
    const terminal = guest.open(setup.argv);
    await terminal.shows("bypass permissions on");
    await terminal.ask("is all well?", "All is well here.");
    await terminal.close();
    expect(terminal.shown()).not.toMatch(/Entertoconfirm|missingorbroken|nottrusted|hasnotbeentrusted/);
    await stat(join(guest.workspace, "made-by-the-agent"));
    expect(proxy.denied).toEqual([]);
  });

  it("gives up at once, with its error on stdout, when the credential is not accepted", async () => {
    const { guest, setup, api } = await scene({
      credential,
      secret: "revoked",
      task: "hello",
      script: [{ text: "never said" }],
    });
    const result = await guest.run(setup.argv);
    expect(result.code).toBe(1);
    expect(result.stdout.toString()).toMatch(/API key|log(ged)? ?in|authenticate/i);
    expect(turns(api).length).toBeLessThanOrEqual(2);
  });
});

describe("claude in a guest", () => {
  it("runs its tools with no permission asked, and closes the loop with their results", async () => {
    const { api, guest, setup } = await scene({
      credential: apiKey,
      task: "work",
      script: [
        { tool: "Bash", input: { command: "mkdir -p out && echo written > out/file && pwd" } },
        { tool: "Bash", input: { command: "cat out/file; exit 3" } },
        { text: "Done." },
      ],
    });
    expect((await guest.run(setup.argv)).stdout.toString()).toBe("Done.\n");
    expect(await readFile(join(guest.workspace, "out", "file"), "utf8")).toBe("written\n");
    const [first, second] = api.toolResults();
    expect(first).toContain(guest.workspace);
    expect(second).toMatch(/Exit code 3[\s\S]*written/);
  });

  it("works by the agent's prompt", async () => {
    const { api, guest, setup } = await scene({
      credential: apiKey,
      prompt: "Answer in the manner of a lighthouse keeper.",
      task: "hello",
      script: [{ text: "Aye." }],
    });
    await guest.run(setup.argv);
    const body = JSON.parse(turns(api)[0]?.body ?? "{}") as { system: { text: string }[] };
    const system = body.system.map((block) => block.text).join("\n");
    expect(system).toContain("Answer in the manner of a lighthouse keeper.");
    expect(system).toContain("Claude");
  });

  it("remembers the earlier session when it is resumed", async () => {
    const { api, guest, setup } = await scene({
      credential: apiKey,
      task: "the word is heron",
      script: [{ text: "Noted." }, { text: "It was heron." }],
    });
    await guest.run(setup.argv);
    const result = await guest.run(setup.resumeArgv ?? []);
    expect(result.stdout.toString()).toBe("It was heron.\n");
    expect(turns(api).at(-1)?.body).toContain("Noted.");
  });

  it("ends with an error, not a wait, when its host is denied", async () => {
    const { api, proxy, guest, setup } = await scene({
      credential: apiKey,
      task: "hello",
      script: [],
      routes: claude.routes.map((route) => ({ ...route, host: "elsewhere.test" })),
    });
    const result = await guest.run(setup.argv);
    expect(result.code).toBe(1);
    expect(result.stdout.toString()).toContain("403");
    expect(new Set(proxy.denied)).toEqual(new Set(["CONNECT api.anthropic.com:443"]));
    expect(api.requests).toEqual([]);
  });

  it("would ask, were it not answered beforehand", async () => {
    const { guest, setup } = await scene({
      credential: apiKey,
      script: [],
      guest: { keep: (file) => file.path !== `${GUEST.home}/.claude/settings.json` },
    });
    const terminal = guest.open(setup.argv);
    await terminal.shows("Enter to confirm");
    await terminal.close();
    expect(terminal.shown()).toContain("BypassPermissionsmode");
  });
});
