/** The real, pinned Codex against a stand-in of its API. Without a registry to get it from, these fail. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { GUEST } from "../../../src/contract/backend.ts";
import type { Route } from "../../../src/contract/policy.ts";
import type { ProviderCredential } from "../../../src/contract/provider.ts";
import { cacheOf } from "../../../src/lib/paths.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { codex } from "../../../src/providers/codex.ts";
import { CODEX_VERSION } from "../../../src/providers/codex-release.ts";
import { type InjectingProxy, startInjectingProxy } from "../../doubles/injecting-proxy.ts";
import { type ResponsesApi, type ResponsesTurn, startResponsesApi } from "../../doubles/responses-api.ts";
import { type AgentGuest, type AgentGuestOptions, makeAgentGuest } from "../../support/agent-guest.ts";
import { shellCall } from "../../support/codex-call.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

/** 167 MB over whatever line the machine has. */
const INSTALL_TIMEOUT_MS = 600_000;

const SECRETS: Readonly<Record<string, string>> = {
  CODEX_ACCESS_TOKEN: ["at", "integration"].join("-"),
  OPENAI_API_KEY: ["sk", "proj", "integration"].join("-"),
};

/** What it asks for, nothing switches off, and it does well without: a tip of the day, and numbers of the operator's. */
const DONE_WITHOUT = [
  "CONNECT raw.githubusercontent.com:443",
  "GET https://chatgpt.com/backend-api/wham/settings/user",
  "GET https://chatgpt.com/backend-api/wham/usage",
  "GET https://chatgpt.com/backend-api/wham/rate-limit-reset-credits",
];

let ca: TestCa;
let api: ResponsesApi | undefined;
let proxy: InjectingProxy | undefined;
let guest: AgentGuest | undefined;

beforeAll(async () => {
  ca = await makeTestCa();
  await codex.install(cacheOf(), (text) => process.stderr.write(`${text}\n`));
}, INSTALL_TIMEOUT_MS);

afterAll(() => ca.remove());

afterEach(async () => {
  await guest?.remove();
  await proxy?.close();
  await api?.close();
});

interface Scene {
  readonly script: readonly ResponsesTurn[];
  readonly credential: ProviderCredential;
  /** What is injected; the operator's secret unless told otherwise. */
  readonly secret?: string;
  readonly routes?: readonly Route[];
  readonly prompt?: string;
  readonly task?: string;
  readonly guest?: Pick<AgentGuestOptions, "keep" | "workspace">;
}

async function scene(options: Scene) {
  const { credential } = options;
  const secret = SECRETS[credential.tokenRef] ?? "";
  const routes =
    options.routes ?? codex.routes.filter(({ host }) => credential.hosts?.includes(host) === true);
  api = await startResponsesApi({
    tls: await ca.issue(codex.credentialHosts as [string, ...string[]]),
    credentials: [`Bearer ${secret}`],
    script: options.script,
  });
  proxy = await startInjectingProxy({
    ca,
    routes,
    inject: { header: credential.header, value: `Bearer ${options.secret ?? secret}` },
    upstream: api,
  });
  const setup = codex.setup({
    prompt: options.prompt ?? "",
    task: options.task,
    command: undefined,
    credential: credential.tokenRef,
  });
  guest = await makeAgentGuest({
    provider: codex,
    setup,
    placeholder: credential.placeholder,
    proxy: proxy.url,
    caFile: ca.file,
    ...options.guest,
  });
  return { api, proxy, guest, setup };
}

/** Requests to the model, not who the token belongs to. */
function turns(from: ResponsesApi) {
  return from.requests.filter(({ method }) => method === "POST");
}

const apiKey = codex.credentials.find((one) => one.tokenRef === "OPENAI_API_KEY")!;

describe("the installed codex", () => {
  it("is the pinned release, mounted where the argv says", async () => {
    const [mount] = await codex.install(cacheOf(), () => {});
    const { stdout } = await runOk([join(mount?.from ?? "", "bin/codex"), "--version"]);
    expect(stdout.toString()).toBe(`codex-cli ${CODEX_VERSION}\n`);
    const { argv } = codex.setup({ prompt: "", task: undefined, command: undefined });
    expect(argv[0]).toBe(`${mount?.to}/bin/codex`);
  });
});

describe.each(codex.credentials)("codex with $tokenRef outside", (credential) => {
  it("reaches a first answer, works without asking, and holds nothing but the placeholder", async () => {
    const { api, proxy, guest, setup } = await scene({
      credential,
      task: "what does the environment say?",
      script: [shellCall("printenv; echo written > out"), { text: "I have seen it." }],
    });
    const result = await guest.run(setup.argv);
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout.toString()).toBe("I have seen it.\n");
    expect(await readFile(join(guest.workspace, "out"), "utf8")).toBe("written\n");

    const [environment] = api.toolResults();
    expect(environment).toContain(`PWD=${guest.workspace}`);
    expect(environment).not.toContain(SECRETS[credential.tokenRef]);
    expect(turns(api)).toHaveLength(2);
    const placeholder = Object.values(credential.placeholder)[0] ?? "none";
    for (const { headers, body } of api.requests) {
      expect(headers["authorization"]).toBe(`Bearer ${SECRETS[credential.tokenRef]}`);
      expect(JSON.stringify(headers)).not.toContain(placeholder);
      expect(body).not.toContain(SECRETS[credential.tokenRef]);
    }
    expect(proxy.denied.filter((one) => !DONE_WITHOUT.includes(one))).toEqual([]);
  });

  it("is ready on a terminal without a dialog, answers, and asks no other host", async () => {
    const { proxy, guest, setup } = await scene({
      credential,
      script: [shellCall("touch made-by-the-agent"), { text: "All is well here." }],
      guest: {
        // What a repository can bring along to make it ask.
        workspace: {
          ".git/HEAD": "ref: refs/heads/main\n",
          "AGENTS.md": "Be kind.\n",
          ".codex/config.toml": '[mcp_servers.one]\ncommand = "true"\n',
        },
      },
    });
    const terminal = guest.open(setup.argv);
    await terminal.shows("permissions: YOLO mode");
    await terminal.ask("is all well?", "All is well here.");
    await terminal.close();
    expect(terminal.shown()).not.toMatch(/Pressentertocontinue|Doyoutrust|Signin|Updateavailable/i);
    await stat(join(guest.workspace, "made-by-the-agent"));
    expect(proxy.denied.filter((one) => !DONE_WITHOUT.includes(one))).toEqual([]);
  });

  it("gives up at once, and says why, when the credential is not accepted", async () => {
    const { guest, setup } = await scene({
      credential,
      secret: "revoked",
      task: "hello",
      script: [{ text: "never said" }],
    });
    const result = await guest.run(setup.argv);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/401|Incorrect API key|credential/i);
    expect(result.stdout.toString()).not.toContain("never said");
  });
});

describe("codex in a guest", () => {
  it("works by the agent's prompt", async () => {
    const { api, guest, setup } = await scene({
      credential: apiKey,
      prompt: 'Answer in the manner of a "lighthouse keeper".\n\\o/ \x7f',
      task: "hello",
      script: [{ text: "Aye." }],
    });
    await guest.run(setup.argv);
    const body = JSON.parse(turns(api)[0]?.body ?? "{}") as { input: { role?: string; content?: unknown }[] };
    const instructions = body.input.filter(({ role }) => role === "developer");
    expect(JSON.stringify(instructions)).toContain(
      JSON.stringify('manner of a "lighthouse keeper".\n\\o/ \x7f').slice(1, -1),
    );
  });

  it("remembers the earlier session when it is resumed, headless and on a terminal", async () => {
    const { api, guest, setup } = await scene({
      credential: apiKey,
      task: "the word is heron",
      script: [{ text: "Noted." }, { text: "It was heron." }, { text: "Still heron." }],
    });
    await guest.run(setup.argv);
    const result = await guest.run(setup.resumeArgv ?? []);
    expect(result.stdout.toString()).toBe("It was heron.\n");
    expect(turns(api).at(-1)?.body).toContain("Noted.");
    const onTerminal = codex.setup({
      prompt: "",
      task: undefined,
      command: undefined,
      credential: apiKey.tokenRef,
    });
    const terminal = guest.open(onTerminal.resumeArgv ?? []);
    await terminal.shows("It was heron.");
    await terminal.ask("once more?", "Still heron.");
    await terminal.close();
  });

  it("ends with an error, not a wait, when its host is denied", async () => {
    const { api, proxy, guest, setup } = await scene({
      credential: apiKey,
      task: "hello",
      script: [],
      routes: codex.routes.map((route) => ({ ...route, host: "elsewhere.test" })),
    });
    const result = await guest.run(setup.argv);
    expect(result.code).toBe(1);
    expect(new Set(proxy.denied)).toEqual(new Set(["CONNECT api.openai.com:443"]));
    expect(api.requests).toEqual([]);
  });

  it("would ask, were it not answered beforehand", async () => {
    const { guest, setup } = await scene({
      credential: apiKey,
      script: [],
      guest: { keep: (file) => file.path !== `${GUEST.home}/.codex/config.toml` },
    });
    const terminal = guest.open(setup.argv);
    await terminal.shows("Sign in");
    await terminal.close();
  });
});
