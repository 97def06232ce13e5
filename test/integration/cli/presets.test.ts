import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

const secret = ["an", "npm", "token"].join("-");

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("builder", ["true"], { bottle: { egress: { presets: ["npm", "pypi"] } } });
  // The operator's own, and a workspace's that would lead elsewhere.
  cli.write(
    "u/.npmrc",
    `registry=https://registry.example:8443/npm/\n//registry.example:8443/npm/:_authToken=${secret}\n`,
  );
  cli.write("w/.npmrc", "registry=https://evil.example/\n");
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

describe("a bottle's presets", () => {
  it("are shown with where they were read and what they come to, and not with a credential", async () => {
    const { code, stderr } = await cli.run(["start", "builder", "--dry-run"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/presets {2}npm \(\/.*\/u\/\.npmrc\): registry\.example\n/);
    expect(stderr).toContain("pypi (its default): pypi.org, files.pythonhosted.org");
    expect(stderr).toContain("registry.example, at registry.example:8443:");
    expect(stderr).toContain("GET, HEAD on / and below");
    expect(stderr).toContain("a credential for registry.example");
    expect(stderr).not.toContain("evil.example");
    const { stdout } = await cli.run(["start", "builder", "--dry-run", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      presets: [{ name: "npm", hosts: ["registry.example"] }, { name: "pypi" }],
    });
    expect(stdout + stderr).not.toContain(secret);
  });

  it("decide what passes", async () => {
    const ask = (...args: readonly string[]) => cli.run(["egress", "test", "builder", ...args]);
    expect((await ask("https://registry.example/npm/@scope%2fname")).stdout).toContain(
      "dials    registry.example:8443",
    );
    expect((await ask("https://registry.example/npm/name", "--method", "PUT")).stdout).toContain(
      "method-not-allowed",
    );
    expect((await ask("https://evil.example/")).code).toBe(3);
  });

  it("with a name that there is not are refused with the names there are", async () => {
    cli.agent("typo", ["true"], { bottle: { egress: { presets: ["nmp"] } } });
    const { code, stderr } = await cli.run(["info", "typo"]);
    expect(code).toBe(1);
    expect(stderr).toContain("npm, pypi, crates, go, debian, github-read");
  });

  it("that lead to this machine itself are refused with the way out", async () => {
    const { code, stderr } = await cli.run(["info", "builder"], {
      env: { PIP_INDEX_URL: "http://localhost:3141/simple" },
    });
    expect(code).toBe(1);
    expect(stderr).toContain("on this machine itself");
    expect(stderr).toContain("connect_to");
  });
});
