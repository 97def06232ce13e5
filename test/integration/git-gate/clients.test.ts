/** What a client sets, says and calls itself changes nothing; and other kinds of repositories. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTarget, type Target } from "../../support/git-attack.ts";
import {
  must,
  newFolder,
  OWN,
  type Ran,
  run,
  snapshot,
  startSite,
  TOKEN,
  workingCopy,
} from "../../support/git-gate.ts";

let target: Target;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  target = await startTarget();
});
afterAll(async () => {
  await target.close();
  for (const close of closing.splice(0).reverse()) await close();
});

/** Git's own switches, in front of `push origin HEAD:refs/heads/main`. */
const SWITCHES: readonly (readonly [string, readonly string[], Record<string, string>])[] = (
  [
    ["core.hooksPath", ["-c", "core.hooksPath=/dev/null"]],
    ["receive.* of its own", ["-c", "receive.denyNonFastForwards=false", "-c", "receive.fsckObjects=false"]],
    ["transfer.hideRefs", ["-c", "transfer.hideRefs=refs/heads/main"]],
    ["remote.pushDefault", ["-c", "remote.origin.receivepack=git-receive-pack --evil"]],
    ["an older protocol", ["-c", "protocol.version=0"]],
    [
      "a header of configuration",
      [
        "-c",
        "http.extraHeader=Git-Config-Count: 1",
        "-c",
        "http.extraHeader=Git-Config-Key-0: core.hooksPath",
      ],
    ],
    [
      "a header of the environment",
      [
        "-c",
        "http.extraHeader=GIT_DIR: /tmp",
        "-c",
        "http.extraHeader=GIT_CONFIG_PARAMETERS: 'core.hooksPath=/x'",
      ],
    ],
    [
      "a header of another user",
      ["-c", "http.extraHeader=X-Remote-User: operator", "-c", "http.extraHeader=Authorization: Basic b3A6"],
    ],
    [
      "a header of another path",
      ["-c", "http.extraHeader=X-Original-URL: /other.git", "-c", "http.extraHeader=Path-Info: /x"],
    ],
    ["another name for itself", ["-c", "http.userAgent=git-gate/operator"]],
    [
      "GIT_CONFIG_COUNT",
      [],
      { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "receive.denyDeletes", GIT_CONFIG_VALUE_0: "false" },
    ],
    ["GIT_CONFIG_PARAMETERS", [], { GIT_CONFIG_PARAMETERS: "'core.hookspath=/dev/null'" }],
    ["GIT_NAMESPACE", [], { GIT_NAMESPACE: "other" }],
    ["GIT_QUARANTINE_PATH", [], { GIT_QUARANTINE_PATH: "/tmp" }],
    ["GIT_PROTOCOL", [], { GIT_PROTOCOL: "version=2:x" }],
  ] as readonly (readonly [string, readonly string[], Record<string, string>?])[]
).map(([name, options, env]) => [name, options, env ?? {}] as const);

describe("a client may set what it likes", () => {
  it.each(SWITCHES)("%s: the default branch stays what it is", async (_, options, env) => {
    await target.refuses("ref-not-allowed", async (copy): Promise<Ran> => {
      await copy.commit({ "a.txt": "a\n" });
      return await run(["git", ...options, "push", "--no-verify", "origin", "HEAD:refs/heads/main"], {
        cwd: copy.folder,
        env,
      });
    });
  });

  it.each(SWITCHES)("%s: a secret does not pass", async (_, options, env) => {
    await target.refuses("secret-found", async (copy): Promise<Ran> => {
      await copy.commit({ "a.txt": `${TOKEN}\n` });
      return await run(["git", ...options, "push", "--no-verify", "origin", `HEAD:${OWN}/x`], {
        cwd: copy.folder,
        env,
      });
    });
  });
});

describe("a repository whose ids are SHA-256", () => {
  it("is cloned, pushed to, and looked at like any other", async () => {
    const folder = newFolder();
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const bare = join(folder, "up.git");
    await must(["git", "init", "-q", "--bare", "-b", "main", "--object-format=sha256", bare]);
    const seed = join(folder, "seed");
    await must(["git", "init", "-q", "-b", "main", "--object-format=sha256", seed]);
    const first = workingCopy(seed);
    await first.commit({ "README.md": "# app\n" });
    await first.git("push", "-q", bare, "main");
    const site = await startSite({ upstream: { kind: "local", path: bare } });
    closing.push(() => site.close());
    const copy = await site.clone();
    const id = await copy.commit({ "a.txt": "a\n" });
    expect(id).toHaveLength(64);
    expect(await copy.push("work")).toMatchObject({ code: 0 });
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    const before = await snapshot(bare);
    await copy.commit({ "b.txt": `${TOKEN}\n` });
    expect((await copy.push("leak")).stderr).toContain("denied: secret-found");
    await copy.git("reset", "-q", "--hard", "HEAD~1");
    await copy.commit({ ".github/workflows/x.yml": "on: push\n" });
    expect((await copy.push("ci")).stderr).toContain("denied: path-protected");
    expect(await snapshot(bare)).toBe(before);
    // One of the other kind does not get in.
    const other = await target.copy();
    const { code } = await other.try("push", `${site.url}/app.git`, `HEAD:${OWN}/sha1`);
    expect(code).not.toBe(0);
    expect(await snapshot(bare)).toBe(before);
  });
});
