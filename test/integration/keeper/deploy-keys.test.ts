import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuditLog, openLog } from "../../../src/audit/log.ts";
import type { PlannedRepo } from "../../../src/contract/repository.ts";
import { makeDeployKeys, readDeployKeys, removeLeftDeployKeys } from "../../../src/keeper/deploy-keys.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { type Gitea, startGitea } from "../../doubles/gitea.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

const ID = "dev-abc12";
const TOKEN = ["forge", "token", "f".repeat(30)].join("-");
const READER = ["forge", "token", "r".repeat(30)].join("-");

let ca: TestCa;
let gitea: Gitea;
let folder: string;
let log: AuditLog;
let scope: Scope;
let left: number;

beforeAll(async () => {
  ca = await makeTestCa();
});
afterAll(() => ca.remove());
beforeEach(async () => {
  gitea = await startGitea(await ca.issue(["127.0.0.1"]), [
    { token: TOKEN, repositories: ["team/one", "team/two"], scope: "write:repository" },
    { token: READER, repositories: ["team/one"], scope: "read:repository" },
  ]);
  folder = mkdtempSync(join(tmpdir(), "deploy-keys-"));
  log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: folder }), bottle: ID });
  scope = createScope();
  left = 0;
});
afterEach(async () => {
  await scope.close().catch(() => {});
  await log.close();
  await gitea.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, "deploy-keys.json");
const repo = (name: string, repository = `team/${name}`): PlannedRepo => ({
  ...{ name, limits: {}, review: false, paths: { only: [], unprotect: [] } },
  upstream: {
    ...{ kind: "ssh", user: "git", host: "127.0.0.1", port: 22, path: `${repository}.git`, hostKeys: [] },
    key: {
      ...{ kind: "deploy", forge: "gitea", repository, tokenRef: "FORGE", authorities: [ca.file] },
      server: `https://127.0.0.1:${gitea.port}`,
    },
  },
});
const make = (repos: readonly PlannedRepo[], token: string | undefined = TOKEN) =>
  makeDeployKeys({ id: ID, repos, file: file(), token: () => token, log, left: () => void left++ }, scope);
const events = (): string[] =>
  readFileSync(log.path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { event: string }).event)
    .filter((event) => event.startsWith("deploy-key."));

describe("a deploy key", () => {
  it("is there for the bottle's life, may push, says whose it is, and is gone afterwards", async () => {
    const { keys } = await make([repo("one"), repo("two")]);
    expect([...keys.keys()]).toEqual(["one", "two"]);
    expect(gitea.keys("team/one")).toMatchObject([
      { read_only: false, title: expect.stringMatching(`^bot-bottle ${ID} `) },
    ]);
    expect(gitea.keys("team/two")).toHaveLength(1);
    await scope.close();
    expect([gitea.keys("team/one"), gitea.keys("team/two")]).toEqual([[], []]);
    expect(existsSync(file())).toBe(false);
    expect(events()).toEqual([
      "deploy-key.added",
      "deploy-key.added",
      "deploy-key.removed",
      "deploy-key.removed",
    ]);
    expect(left).toBe(0);
  });

  it("I2: is on no disk and on no log, and neither is the token", async () => {
    const { keys } = await make([repo("one")]);
    const disk = readFileSync(file(), "utf8") + readFileSync(log.path, "utf8");
    expect(disk).toContain("SHA256:");
    for (const line of [...keys.values()]
      .flatMap((key) => key.split("\n"))
      .filter((line) => line.length > 20))
      expect(disk).not.toContain(line);
    expect(disk).not.toContain(TOKEN);
  });

  it("is gone when the launch fails after it was made", async () => {
    await expect(make([repo("one"), repo("none")])).rejects.toThrow(
      /did not take a deploy key for team\/none \(404: The target couldn't be found\.\)/,
    );
    await scope.close();
    expect(gitea.keys("team/one")).toEqual([]);
    expect(existsSync(file())).toBe(false);
  });

  it.each([
    ["a token that may only read", READER, /\(403: token does not have at least one of required scope/],
    ["a token that is none", "nonsense", /\(401: invalid username, password or token\)/],
    ["no token", "", /FORGE is not set/],
  ])("is refused with %s", async (_, token, expected) => {
    await expect(make([repo("one")], token)).rejects.toThrow(expected);
    expect(gitea.keys("team/one")).toEqual([]);
  });

  it("is given to no server whose certificate comes from elsewhere", async () => {
    const other = await makeTestCa();
    const one = repo("one");
    if (one.upstream.kind !== "ssh" || one.upstream.key.kind !== "deploy") throw new Error("no deploy key");
    const key = { ...one.upstream.key, authorities: [other.file] };
    await expect(make([{ ...one, upstream: { ...one.upstream, key } }])).rejects.toThrow(
      /cannot reach https:.*SIGNATURE/,
    );
    expect(gitea.requests).toEqual([]);
    await other.remove();
  });

  it("is refused when the forge's answer is nonsense or endless", async () => {
    gitea.fail("POST", 201, "{}");
    await expect(make([repo("one")])).rejects.toThrow("did not say its id");
    gitea.fail("POST", 500, "x".repeat(2 * 1024 * 1024));
    await expect(make([repo("one")])).rejects.toThrow("its answer is too long");
  });
});

describe("a deploy key that could not be removed", () => {
  const leave = async (): Promise<string> => {
    await make([repo("one")]);
    gitea.fail("DELETE", 500, JSON.stringify({ message: "database is locked" }));
    return scope.close().then(
      () => "no error",
      (error: unknown) => String(error),
    );
  };

  it("is told loudly: what can still push, why, where to remove it, and what removes it later", async () => {
    const message = await leave();
    expect(message).toMatch(
      /THE DEPLOY KEY "bot-bottle dev-abc12 \S+" CAN STILL PUSH to https:\S+\/team\/one/,
    );
    expect(message).toContain("(500: database is locked)");
    expect(message).toContain(`https://127.0.0.1:${gitea.port}/team/one/settings/keys`);
    expect(message).toContain("export FORGE=… and run bottle cleanup");
    expect(events().at(-1)).toBe("deploy-key.left");
    expect(left).toBe(1);
  });

  it("is removed later, from a record without secrets", async () => {
    await leave();
    await expect(removeLeftDeployKeys(ID, file(), () => undefined)).rejects.toThrow("FORGE is not set");
    gitea.heal();
    await removeLeftDeployKeys(ID, file(), () => TOKEN);
    expect(gitea.keys("team/one")).toEqual([]);
    expect(existsSync(file())).toBe(false);
  });

  it("is found by its fingerprint when a crash came before its number was noted", async () => {
    await make([repo("one")]);
    const records = JSON.parse(readFileSync(file(), "utf8")) as { id?: number }[];
    writeFileSync(file(), JSON.stringify(records.map(({ id: _, ...record }) => record)));
    await removeLeftDeployKeys(ID, file(), () => TOKEN);
    expect(gitea.keys("team/one")).toEqual([]);
  });

  it("is forgotten when the forge has none: it was taken away by hand", async () => {
    await leave();
    gitea.heal();
    const [record] = await readDeployKeys(file());
    writeFileSync(file(), JSON.stringify([{ ...record, repository: "team/gone" }]));
    await removeLeftDeployKeys(ID, file(), () => TOKEN);
    expect(existsSync(file())).toBe(false);
  });

  it("is removed by the bottle's next life", async () => {
    await leave();
    gitea.heal();
    scope = createScope();
    await make([]);
    await scope.close();
    expect(gitea.keys("team/one")).toEqual([]);
  });

  it("is not forgotten with a damaged record", async () => {
    writeFileSync(file(), '[{"repo":');
    await expect(removeLeftDeployKeys(ID, file(), () => TOKEN)).rejects.toThrow("is damaged");
    expect(existsSync(file())).toBe(true);
  });
});
