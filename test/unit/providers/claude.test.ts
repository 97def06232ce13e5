import { describe, expect, it } from "vitest";
import { GUEST } from "../../../src/contract/backend.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { claude } from "../../../src/providers/claude.ts";
import { claudePackage } from "../../../src/providers/claude-release.ts";
import { PROMPT_PATH } from "../../../src/providers/prompt-file.ts";

const session = { prompt: "", task: undefined, command: undefined };
const BINARY = "/opt/bottle/agents/claude/claude";

function fileOf(files: readonly { path: string; content: string }[], path: string): unknown {
  const file = files.find((one) => one.path === path);
  return file === undefined ? undefined : JSON.parse(file.content);
}

describe("what claude is started with", () => {
  it("starts a session with every permission, from where it is mounted", () => {
    expect(claude.setup(session).argv).toEqual([BINARY, "--dangerously-skip-permissions"]);
  });

  it("runs a task headless, also one that looks like an option", () => {
    const { argv } = claude.setup({ ...session, task: "--help me" });
    expect(argv).toEqual([BINARY, "--dangerously-skip-permissions", "--print", "--", "--help me"]);
  });

  it("appends the agent's prompt to the system prompt, from a file of the guest", () => {
    const { argv, files } = claude.setup({ ...session, prompt: "Be brief.\n" });
    expect(argv.slice(2)).toEqual(["--append-system-prompt-file", PROMPT_PATH]);
    expect(files).toContainEqual({ path: PROMPT_PATH, content: "Be brief.\n", mode: 0o600 });
  });

  it("gives no prompt file for a prompt of blanks", () => {
    const { argv, files } = claude.setup({ ...session, prompt: " \n" });
    expect(argv).toEqual(claude.setup(session).argv);
    expect(files.map((file) => file.path)).not.toContain(PROMPT_PATH);
  });

  it("resumes the latest session of the bottle, with the task when there is one", () => {
    expect(claude.setup({ ...session, prompt: "p", task: "go on" }).resumeArgv).toEqual([
      BINARY,
      "--dangerously-skip-permissions",
      "--append-system-prompt-file",
      PROMPT_PATH,
      "--continue",
      "--print",
      "--",
      "go on",
    ]);
  });

  it("refuses a task that no argument can hold, and says where to put it", () => {
    const task = "é".repeat(70_000);
    const attempt = (): unknown => claude.setup({ ...session, task });
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(/140000 bytes/);
  });

  it("refuses a command, which would be ignored", () => {
    expect(() => claude.setup({ ...session, command: ["bash"] })).toThrow(/does not go with/);
  });
});

describe("what claude is told before it asks", () => {
  const { files, env } = claude.setup(session);

  it("trusts the two folders that a session can start in", () => {
    const state = fileOf(files, `${GUEST.home}/.claude.json`) as { projects: Record<string, unknown> };
    expect(Object.keys(state.projects)).toEqual([GUEST.home, GUEST.workspace]);
  });

  it("approves the end of exactly the key that stands in the guest's environment", () => {
    const state = fileOf(files, `${GUEST.home}/.claude.json`) as {
      customApiKeyResponses: { approved: string[] };
    };
    const key = claude.credentials.flatMap((one) => one.placeholder["ANTHROPIC_API_KEY"] ?? []);
    expect(state.customApiKeyResponses.approved).toEqual(key.map((one) => one.slice(-20)));
    expect(state.customApiKeyResponses.approved[0]).toHaveLength(20);
  });

  it("switches telemetry, reports and updates off", () => {
    for (const name of ["DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER"]) {
      expect(env[name]).toBe("1");
    }
  });

  it("writes files that only the agent's user reads", () => {
    expect(files.map((file) => file.mode)).toEqual(files.map(() => 0o600));
  });
});

describe("the credentials and routes of claude", () => {
  it("strips every header that could carry a credential, on every host that gets one", () => {
    for (const host of claude.credentialHosts) {
      const route = claude.routes.find((one) => one.host === host);
      expect(route?.credentialHeaders).toEqual(expect.arrayContaining(["authorization", "x-api-key"]));
      expect(route?.tls).toBe("terminate");
    }
    expect(claude.credentialHosts).toEqual(["api.anthropic.com"]);
  });

  it("takes the token of a subscription before an API key, each by its own header", () => {
    expect(claude.credentials.map(({ tokenRef, header, format }) => ({ tokenRef, header, format }))).toEqual([
      { tokenRef: "CLAUDE_CODE_OAUTH_TOKEN", header: "authorization", format: "Bearer {}" },
      { tokenRef: "ANTHROPIC_API_KEY", header: "x-api-key", format: "{}" },
    ]);
  });

  it("puts placeholders into the guest that look like no credential", () => {
    for (const { placeholder, tokenRef } of claude.credentials) {
      expect(Object.keys(placeholder)).toEqual([tokenRef]);
      expect(placeholder[tokenRef]).toMatch(/^placeholder-[a-z-]+$/);
    }
  });

  it("reaches nothing but the model's endpoints and the organisation's rules", () => {
    const reached = claude.routes.flatMap((route) =>
      route.matches.flatMap((match) =>
        (match.methods ?? ["any"]).flatMap((method) =>
          (match.paths ?? []).map((path) => `${path.type} ${method} ${path.value}`),
        ),
      ),
    );
    expect(reached).toEqual([
      "exact POST /v1/messages",
      "exact POST /v1/messages/count_tokens",
      "exact GET /api/claude_code/settings",
      "exact GET /api/claude_code/policy_limits",
    ]);
  });
});

describe("the pinned release", () => {
  it.each(["x64", "arm64"])("has a Linux package for %s, on a Mac too", (arch) => {
    const pin = claudePackage({ os: "linux", arch, libc: "glibc" });
    expect(pin.name).toBe(`@anthropic-ai/claude-code-linux-${arch}`);
    expect(pin.integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
    expect(claudePackage({ os: "darwin", arch, libc: "glibc" })).toBe(pin);
  });

  it("says what to use instead on another processor, or without glibc", () => {
    expect(() => claudePackage({ os: "linux", arch: "riscv64", libc: "glibc" })).toThrow(/riscv64/);
    expect(() => claudePackage({ os: "linux", arch: "x64", libc: "musl" })).toThrow(/glibc/);
  });
});
