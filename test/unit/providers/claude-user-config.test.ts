import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { UserConfigWish } from "../../../src/contract/provider.ts";
import { claude } from "../../../src/providers/claude.ts";
import { OWN_SETTINGS, REFUSED_SETTINGS } from "../../../src/providers/claude-own-settings.ts";
import { claudeUserConfig } from "../../../src/providers/claude-user-config.ts";
import { thrownBy } from "../../support/manifest-tree.ts";

// Built here, so that no scanner takes this file for a leak.
const AWS = `${"AKIA"}${"QWERTYUIOPASDFG2"}`;
const OPAQUE = ["q7Rk2", "Vt9xW", "4mZp8", "Lc3Yb", "6Nd"].join("");

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "own-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function write(path: string, content: string | object): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}
const read = (wish: Partial<UserConfigWish>) =>
  claudeUserConfig({ memory: false, settings: [], commands: [], mcpServers: [], ...wish }, home);
const refusal = (wish: Partial<UserConfigWish>): string => thrownBy(() => read(wish)).message;

function server(entry: unknown): ReturnType<typeof read> {
  write(".claude.json", { mcpServers: { it: entry, other: { url: 1 } }, history: ["x"] });
  return read({ mcpServers: ["it"] });
}
const serverRefusal = (entry: unknown): string => thrownBy(() => server(entry)).message;

describe("the operator's own configuration", () => {
  it("is left where it is but for what is named", () => {
    write(".claude/CLAUDE.md", "Be brief.");
    write(".claude/commands/review.md", "Review it.");
    write(".claude/commands/git/tidy.md", "Tidy up.");
    write(".claude/settings.json", { model: "opus", language: "french", hooks: {} });
    write(".claude.json", { mcpServers: { docs: { type: "http", url: "https://docs.test/mcp" }, x: 1 } });
    expect(read({})).toEqual({ texts: [], settings: {}, mcpServers: [] });
    const all = read({
      memory: true,
      settings: ["model"],
      commands: ["git/tidy"],
      mcpServers: ["docs"],
    });
    expect(all).toEqual({
      texts: [
        { name: "CLAUDE.md", from: join(home, ".claude/CLAUDE.md"), to: "/home/node/.claude/CLAUDE.md" },
        {
          name: "/git:tidy",
          from: join(home, ".claude/commands/git/tidy.md"),
          to: "/home/node/.claude/commands/git/tidy.md",
        },
      ],
      settings: { model: "opus" },
      mcpServers: [{ name: "docs", place: { type: "http", url: "https://docs.test/mcp", headers: {} } }],
    });
  });

  it("tells everything that is missing at once, by file and key, with what was meant", () => {
    write(".claude/commands/review.md", "Review it.");
    write(".claude/settings.json", {});
    write(".claude.json", { mcpServers: { docs: {} } });
    const message = refusal({
      memory: true,
      settings: ["model", "languages"],
      commands: ["reviw"],
      mcpServers: ["doc"],
    });
    expect(message).toContain(`user_config.memory: ${home}/.claude/CLAUDE.md does not exist`);
    expect(message).toContain(`user_config.commands: ${home}/.claude/commands/reviw.md does not exist`);
    expect(message).toContain('did you mean "review"?');
    expect(message).toContain(`user_config.settings: ${home}/.claude/settings.json has no model`);
    expect(message).toContain(
      'languages does not come along: it is none of the settings that may, did you mean "language"?',
    );
    expect(message).toContain(
      `user_config.mcp_servers: ${home}/.claude.json has no mcpServers.doc, did you mean "docs"?`,
    );
  });

  it.each([
    "hooks",
    "env",
    "permissions",
    "statusLine",
    "apiKeyHelper",
    "mcpServers",
    "skipWebFetchPreflight",
  ])("refuses the setting %s with its reason, also when the file has none", (key) => {
    expect(refusal({ settings: [key] })).toBe(
      `user_config.settings: ${key} does not come along: ${REFUSED_SETTINGS[key]}`,
    );
  });

  it("may bring no setting that it refuses, and knows no word of every object as one", () => {
    expect(OWN_SETTINGS.filter((key) => Object.hasOwn(REFUSED_SETTINGS, key))).toEqual([]);
    write(".claude/settings.json", "{}");
    for (const key of ["constructor", "__proto__", "toString"]) {
      expect(refusal({ settings: [key] })).toContain("it is none of the settings that may");
    }
    write(".claude.json", "{}");
    expect(refusal({ mcpServers: ["constructor"] })).toContain("has no mcpServers.constructor");
  });

  it("refuses texts and settings that hold a secret, and does not repeat it", () => {
    write(".claude/CLAUDE.md", `Use ${AWS} for uploads.`);
    write(".claude/commands/up.md", `!aws --key ${AWS}`);
    write(".claude/settings.json", { language: `french ${AWS}` });
    const message = refusal({ memory: true, commands: ["up"], settings: ["language"] });
    expect(message.match(/looks like it holds a secret/g)).toHaveLength(3);
    expect(message).not.toContain(AWS);
  });

  it("refuses what is no text, no JSON, or too large, and waits for no pipe", () => {
    mkdirSync(join(home, ".claude", "CLAUDE.md"), { recursive: true });
    expect(refusal({ memory: true })).toContain("CLAUDE.md is a directory");
    symlinkSync("/dev/zero", join(home, ".claude", "settings.json"));
    expect(refusal({ settings: ["model"] })).toContain("settings.json is not a regular file");
    const state = write(".claude.json", `{"key": "${AWS}`);
    expect(refusal({ mcpServers: ["x"] })).toBe(
      `user_config.mcp_servers: ${state} is no JSON object: claude doctor tells more`,
    );
    truncateSync(state, 65 * 1024 * 1024);
    expect(refusal({ mcpServers: ["x"] })).toContain("is larger than 65536 KiB");
    rmSync(join(home, ".claude", "settings.json"));
    write(".claude/settings.json", { language: "x".repeat(20_000) });
    expect(refusal({ settings: ["language"] })).toContain("is larger than 16384 bytes");
  });

  it("lies below what the bottle sets itself", () => {
    const { files } = claude.setup({
      prompt: "",
      task: undefined,
      command: undefined,
      settings: { model: "opus", skipDangerousModePermissionPrompt: false },
    });
    const content = files.find(({ path }) => path.endsWith("/settings.json"))?.content ?? "";
    expect(JSON.parse(content)).toMatchObject({ model: "opus", skipDangerousModePermissionPrompt: true });
  });
});

describe("an MCP server of the operator's", () => {
  it("comes along with what is harmless", () => {
    const stdio = {
      command: "npx",
      args: ["-y", "@example/server@1.2.3", "--root=/home/node/workspace"],
      env: { LOG_LEVEL: "debug" },
    };
    expect(server(stdio).mcpServers).toEqual([{ name: "it", place: { type: "stdio", ...stdio } }]);
    const sse = { type: "sse", url: "https://docs.test/sse?lang=en", headers: { "X-Team": "tools" } };
    expect(server(sse).mcpServers).toEqual([{ name: "it", place: sse }]);
  });

  it.each([
    [
      "a bearer",
      { type: "http", url: "https://a.test/mcp", headers: { Authorization: "Bearer x" } },
      "headers.Authorization is a credential: use the route of a.test in the bottle, with auth: {scheme, token_ref}",
    ],
    [
      "a key under a name of its own",
      { type: "http", url: "https://a.test/mcp", headers: { "X-Api-Key": "1" } },
      "headers.X-Api-Key is a credential",
    ],
    [
      "a secret under a harmless name",
      { type: "http", url: "https://a.test/mcp", headers: { "X-Team": OPAQUE } },
      "headers.X-Team looks like it holds a secret",
    ],
    [
      "a variable",
      { type: "http", url: "https://a.test/mcp", headers: { "X-Team": ["$", "{TEAM}"].join("") } },
      "headers.X-Team has a variable of your environment",
    ],
    ["a login in the URL", { type: "http", url: "https://me:it@a.test/mcp" }, "url has a login in it"],
    [
      "a token in the query",
      { type: "http", url: "https://a.test/mcp?access_token=x" },
      'url has the credential "access_token" in it',
    ],
    [
      "a secret in the path",
      { type: "http", url: `https://a.test/s/${OPAQUE}/mcp` },
      "url looks like it holds a secret",
    ],
    [
      "a login kept elsewhere",
      { type: "http", url: "https://a.test/mcp", oauth: { clientId: "x" } },
      "oauth is a login that stays on your host",
    ],
    [
      "a helper program",
      { type: "http", url: "https://a.test/mcp", headersHelper: "/x" },
      "headersHelper is a program of your host",
    ],
    ["another scheme", { type: "http", url: "file:///etc/passwd" }, "url is no http or https address"],
    [
      "a token in env",
      { command: "x", env: { GITHUB_TOKEN: "x" } },
      "env.GITHUB_TOKEN is a credential: what the agent is to have is for env of the bottle",
    ],
    ["a secret in env", { command: "x", env: { NAME: AWS } }, "env.NAME looks like it holds a secret"],
    ["a secret argument", { command: "x", args: ["-v", OPAQUE] }, "args[1] looks like it holds a secret"],
    [
      "a credential's option",
      { command: "x", args: ["--api-key", "x"] },
      "args[0] is the option of a credential",
    ],
    [
      "a variable in an argument",
      { command: "x", args: [["$", "{HOME}/y"].join("")] },
      "args[0] has a variable of your environment",
    ],
    ["no kind at all", { type: "ws", url: "wss://a.test" }, "is of no kind that can come along"],
  ])("is refused with %s", (_what, entry, why) => {
    const message = serverRefusal(entry);
    expect(message).toContain(`user_config.mcp_servers: mcpServers.it in ${home}/.claude.json: ${why}`);
    for (const secret of [AWS, OPAQUE]) expect(message).not.toContain(secret);
  });

  it("cannot take the name of the bottle's own", () => {
    write(".claude.json", { mcpServers: { bottle: { command: "x" } } });
    expect(refusal({ mcpServers: ["bottle"] })).toContain("has the name of the bottle's own server");
  });
});
