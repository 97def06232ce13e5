import { describe, expect, it } from "vitest";
import { renderGitConfig } from "../../../src/provision/git-config.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";

describe("git's configuration format", () => {
  it("quotes what would end a value or begin a comment", () => {
    const text = renderGitConfig([
      { name: "user", values: [["name", 'Ann "A" \\ O\'Hara # ; [x]']] },
      { name: "remote", subsection: 'or"ig\\in', values: [["url", " spaced "]] },
      { name: "empty", values: [] },
    ]);
    expect(text).toBe(
      '[user]\n\tname = "Ann \\"A\\" \\\\ O\'Hara # ; [x]"\n[remote "or\\"ig\\\\in"]\n\turl = " spaced "\n',
    );
  });

  it.each(["a\n[core]\n\tfsmonitor = evil", "a\r", "tab\tbed", "nul\0", "esc\u001b"])(
    "refuses control characters in a value or a subsection: %j",
    (value) => {
      expect(() => renderGitConfig([{ name: "user", values: [["name", value]] }])).toThrow(
        /control character/,
      );
      expect(() => renderGitConfig([{ name: "x", subsection: value, values: [["k", "v"]] }])).toThrow(
        /control character/,
      );
    },
  );

  it("refuses section and key names that are none", () => {
    expect(() => renderGitConfig([{ name: "a]\n[b", values: [["k", "v"]] }])).toThrow();
    expect(() => renderGitConfig([{ name: "a", values: [["k = 1\nx", "v"]] }])).toThrow();
  });
});

describe("the agent's git identity", () => {
  it("is in its own gitconfig, with what lets git work in a copied workspace", () => {
    const file = gitIdentityFile({ name: "Agent Smith", email: "smith@example.com" });
    expect(file).toMatchObject({ path: "/home/node/.gitconfig", mode: 0o644 });
    expect(file.content).toContain('[user]\n\tname = "Agent Smith"\n\temail = "smith@example.com"\n');
    expect(file.content).toContain('directory = "/home/node/workspace"');
  });

  it.each([
    [{}, "bottle agent", "agent@bottle.invalid"],
    [{ name: "Smith" }, "Smith", "agent@bottle.invalid"],
    [{ email: "smith@example.com" }, "bottle agent", "smith@example.com"],
  ])("is nobody's where nobody gave one, so that git commits all the same: %j", (git, name, email) => {
    expect(gitIdentityFile(git).content).toContain(`[user]\n\tname = "${name}"\n\temail = "${email}"\n`);
  });

  it("cannot bring a setting by a line break", () => {
    expect(() => gitIdentityFile({ name: "x\n[alias]\n\tst = !touch /tmp/x" })).toThrow(/control character/);
  });
});
