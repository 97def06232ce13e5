import { describe, expect, it } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { command } from "../../../src/providers/command.ts";
import { PROMPT_PATH } from "../../../src/providers/prompt-file.ts";
import { providerNamed, providerNames } from "../../../src/providers/registry.ts";

const request = { prompt: "", task: undefined, command: ["bash", "-c", "make test"] };

describe("the command provider", () => {
  it("runs the argv of the manifest as it stands", () => {
    expect(command.setup(request)).toEqual({ argv: ["bash", "-c", "make test"], env: {}, files: [] });
  });

  it("appends a task as the last argument, whatever is in it", () => {
    const task = "-n $(rm -rf /) 'x'";
    expect(command.setup({ ...request, task }).argv).toEqual(["bash", "-c", "make test", task]);
  });

  it("tells the program where its standing instructions are", () => {
    const { env, files } = command.setup({ ...request, prompt: "Be brief." });
    expect(env).toEqual({ BOT_BOTTLE_PROMPT_FILE: PROMPT_PATH });
    expect(files).toEqual([{ path: PROMPT_PATH, content: "Be brief.", mode: 0o600 }]);
  });

  it.each([{ words: undefined }, { words: [] }, { words: [""] }])(
    "names the missing key for $words",
    ({ words }) => {
      const attempt = (): unknown => command.setup({ ...request, command: words });
      expect(attempt).toThrow(UserError);
      expect(attempt).toThrow(/agent_provider\.command/);
    },
  );

  it("needs no install, no route and no credential", async () => {
    expect(await command.install("/nowhere", () => {})).toEqual([]);
    expect([command.routes, command.credentials, command.credentialHosts]).toEqual([[], [], []]);
  });
});

describe("the registry of providers", () => {
  it("finds each by its name", () => {
    expect(providerNames.map((name) => providerNamed(name).name)).toEqual(["claude", "codex", "command"]);
  });

  it.each([
    ["cluade", 'did you mean "claude"?'],
    ["something-else", "known: claude, codex, command"],
    ["constructor", "known: claude, codex, command"],
  ])("answers %s with a hint", (name, hint) => {
    const attempt = (): unknown => providerNamed(name);
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(expect.objectContaining({ hint }));
  });
});
