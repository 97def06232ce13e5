import { describe, expect, it } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { codex } from "../../../src/providers/codex.ts";
import { codexPackage } from "../../../src/providers/codex-release.ts";
import { PROMPT_PATH } from "../../../src/providers/prompt-file.ts";
import { tomlText } from "../../../src/providers/toml-text.ts";

const session = { prompt: "", task: undefined, command: undefined };
const BINARY = "/opt/bottle/agents/codex/bin/codex";
const FREE = "--dangerously-bypass-approvals-and-sandbox";

describe("what codex is started with", () => {
  it("starts a session with every permission, from where it is mounted, and no server beside it", () => {
    expect(codex.setup(session).argv).toEqual([BINARY, FREE, "--no-daemon"]);
  });

  it("runs a task headless, also one that looks like an option", () => {
    const { argv } = codex.setup({ ...session, task: "--help me" });
    expect(argv).toEqual([BINARY, "exec", FREE, "--skip-git-repo-check", "--", "--help me"]);
  });

  it("reads the bottle's MCP server when there is one, in every kind of session", () => {
    for (const task of [undefined, "go on"]) {
      const setup = codex.setup({ ...session, task, mcpConfig: "/somewhere" });
      for (const argv of [setup.argv, setup.resumeArgv ?? []])
        expect(argv.join(" ")).toContain("--profile bottle-mcp");
    }
    expect(codex.mcpFile?.path).toBe("/home/node/.codex/bottle-mcp.config.toml");
    expect(codex.mcpFile?.text("http://127.0.0.1:9100/mcp", { Authorization: "Bearer b" })).toBe(
      '[mcp_servers.bottle]\nurl = "http://127.0.0.1:9100/mcp"\n[mcp_servers.bottle.http_headers]\nAuthorization = "Bearer b"\n',
    );
  });

  it("resumes the latest session of the bottle, on a terminal also one that had none", () => {
    expect(codex.setup({ ...session, task: "go on" }).resumeArgv?.slice(1)).toEqual([
      "exec",
      FREE,
      "--skip-git-repo-check",
      "resume",
      "--last",
      "--",
      "go on",
    ]);
    expect(codex.setup(session).resumeArgv?.slice(3)).toEqual([
      "resume",
      "--last",
      "--include-non-interactive",
    ]);
  });

  it("refuses a command, which would be ignored, and a task that no argument can hold", () => {
    expect(() => codex.setup({ ...session, command: ["bash"] })).toThrow(/does not go with/);
    expect(() => codex.setup({ ...session, task: "é".repeat(70_000) })).toThrow(UserError);
  });
});

describe("what codex is told before it asks", () => {
  const configOf = (credential?: string, prompt = ""): string =>
    codex.setup({ ...session, credential, prompt }).files[0]?.content ?? "";

  it("has its model at the host that the credential is for, and nothing of the other's", () => {
    expect(configOf("OPENAI_API_KEY")).toContain('base_url = "https://api.openai.com/v1"');
    expect(configOf("OPENAI_API_KEY")).toContain('env_key = "OPENAI_API_KEY"');
    expect(configOf("CODEX_ACCESS_TOKEN")).toContain('base_url = "https://chatgpt.com/backend-api/codex"');
    expect(configOf("CODEX_ACCESS_TOKEN")).not.toContain("env_key");
    expect(configOf()).toBe(configOf("CODEX_ACCESS_TOKEN"));
  });

  it("has the agent's prompt as its instructions, and in the file that every provider has", () => {
    expect(configOf("OPENAI_API_KEY", 'Be "brief".\n')).toContain(
      'developer_instructions = "Be \\"brief\\".\\n"\n',
    );
    expect(configOf("OPENAI_API_KEY", " \n")).not.toContain("developer_instructions");
    const { files } = codex.setup({ ...session, prompt: "Be brief." });
    expect(files).toContainEqual({ path: PROMPT_PATH, content: "Be brief.", mode: 0o600 });
  });

  it("holds a placeholder where a credential would be, which looks like the kind that it stands for", () => {
    expect(codex.credentials.map(({ placeholder }) => Object.keys(placeholder))).toEqual([
      ["CODEX_ACCESS_TOKEN"],
      ["OPENAI_API_KEY"],
    ]);
    expect(codex.credentials[0]?.placeholder["CODEX_ACCESS_TOKEN"]).toMatch(/^at-placeholder/);
  });
});

describe("the pinned package", () => {
  it("is Linux's, of the host's processor", () => {
    expect(codexPackage("x64")).toMatchObject({ name: "@openai/codex", version: "0.169.0-linux-x64" });
    expect(codexPackage("arm64").folder).toBe("vendor/aarch64-unknown-linux-musl");
    expect(() => codexPackage("riscv64")).toThrow(/no Linux build for riscv64/);
  });
});

describe("a text of TOML", () => {
  it("has what is no table first, and quotes what is no bare key", () => {
    expect(tomlText({ a: { "b c": { d: 1 } }, e: true, "f.g": "h" })).toBe(
      'e = true\n"f.g" = "h"\n[a."b c"]\nd = 1\n',
    );
  });

  it("lets no text end itself, nor hold what TOML does not know", () => {
    expect(tomlText({ a: 'x"\n[b]\nc = "\x00\x7f\ud800' })).toBe(
      'a = "x\\"\\n[b]\\nc = \\"\\u0000\\u007f\ufffd"\n',
    );
  });
});
