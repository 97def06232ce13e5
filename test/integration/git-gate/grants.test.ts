/** What the operator gave for a while, at the gate: used as often as it was given, and no longer than it lasts. */
import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { GitRepoPolicy } from "../../../src/contract/git-gate.ts";
import {
  bareUpstream,
  type GateSite,
  must,
  repoPolicy,
  snapshot,
  startSite,
  type WorkingCopy,
  workingCopy,
} from "../../support/git-gate.ts";
import { until } from "../../support/git-gate-process.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(): Promise<{ site: GateSite; bare: string; copy: WorkingCopy }> {
  const bare = await bareUpstream();
  closing.push(() => rm(bare, { recursive: true, force: true }));
  const site = await startSite({ upstream: { kind: "local", path: bare } });
  closing.push(() => site.close());
  return { site, bare, copy: await site.clone() };
}

const OWN_RULES = repoPolicy().refs;
const MAIN = "refs/heads/main";
const given = (grant: GitRepoPolicy["refs"][number]["grant"]): Partial<GitRepoPolicy> => ({
  refs: [...OWN_RULES, { pattern: MAIN, force: false, delete: false, grant }],
});

describe("a ref that hangs on a grant", () => {
  it("takes as many pushes as were given, each named on the log before it is forwarded; one that is refused uses none", async () => {
    const { site, bare, copy } = await serve();
    await site.reload({}, given({ id: "g1", uses: { most: 2, before: 0 } }));
    await copy.commit({ ".github/workflows/x.yml": "on: push\n" });
    expect((await copy.try("push", "origin", `HEAD:${MAIN}`)).stderr).toContain("path-protected");
    await copy.git("reset", "-q", "--hard", "HEAD^");
    for (const name of ["one", "two"]) {
      await copy.commit({ [`${name}.txt`]: name });
      expect(await copy.try("push", "origin", `HEAD:${MAIN}`), name).toMatchObject({ code: 0 });
    }
    const before = await snapshot(bare);
    await copy.commit({ "three.txt": "three" });
    const third = await copy.try("push", "origin", `HEAD:${MAIN}`);
    expect(third.code).not.toBe(0);
    expect(third.stderr).toContain("ref-not-allowed");
    expect(await snapshot(bare)).toBe(before);
    expect(await copy.push("own")).toMatchObject({ code: 0 });
    const used = site.events("git.forwarding").map(({ grants }) => grants);
    expect(used).toEqual([["g1"], ["g1"], undefined]);
  });

  it("is not there before it is given, when its time is over, and once it is taken back", async () => {
    const { site, bare, copy } = await serve();
    await copy.commit({ "one.txt": "one" });
    const before = await snapshot(bare);
    const refused = async (): Promise<void> => {
      const pushed = await copy.try("push", "origin", `HEAD:${MAIN}`);
      expect(pushed.stderr).toContain("ref-not-allowed");
      expect(await snapshot(bare)).toBe(before);
    };
    await refused();
    await site.reload({}, given({ id: "g1", until: Date.now() - 1 }));
    await refused();
    await site.reload({}, given({ id: "g1" }));
    await site.reload({});
    await refused();
  });

  it("is not used by what the bottle may do anyway", async () => {
    const { site, copy } = await serve();
    const grant = { id: "g1", uses: { most: 1, before: 0 } };
    await site.reload(
      {},
      { refs: [...OWN_RULES, { ...OWN_RULES[0], grant } as GitRepoPolicy["refs"][number]] },
    );
    for (const name of ["one", "two"]) {
      await copy.commit({ [`${name}.txt`]: name });
      expect(await copy.push(name)).toMatchObject({ code: 0 });
    }
  });
});

describe("an exception that hangs on a grant", () => {
  it("lets one push through when it was given once", async () => {
    const { site, copy } = await serve();
    const subject = ".github/workflows/x.yml";
    const grant = { id: "g1", uses: { most: 1, before: 0 } };
    await site.reload({ exceptions: [{ repo: "app", code: "path-protected", subject, grant }] });
    await copy.commit({ [subject]: "on: push\n" });
    expect(await copy.push("one")).toMatchObject({ code: 0 });
    await copy.commit({ [subject]: "on: pull_request\n" });
    const second = await copy.push("two");
    expect(second.code).not.toBe(0);
    expect(second.stderr).toContain("path-protected");
  });

  it("regression: is not used by a merge that only takes over what upstream has changed there", async () => {
    const { site, bare, copy } = await serve();
    const subject = ".github/workflows/x.yml";
    const theirs = workingCopy(`${copy.folder}-theirs`);
    await must(["git", "clone", "-q", bare, theirs.folder]);
    await theirs.commit({ [subject]: "on: push\n" });
    await theirs.git("push", "-q", "origin", `HEAD:${MAIN}`);
    const grant = { id: "g1", uses: { most: 1, before: 0 } };
    await site.reload({ exceptions: [{ repo: "app", code: "path-protected", subject, grant }] });
    await copy.commit({ "mine.txt": "mine\n" });
    await copy.git("fetch", "-q");
    await copy.git("merge", "-q", "-m", "merge", "origin/main");
    expect(await copy.push("merged")).toMatchObject({ code: 0 });
    await copy.commit({ [subject]: "on: pull_request\n" });
    expect(await copy.push("changed")).toMatchObject({ code: 0 });
    expect(site.events("git.forwarding").map(({ grants }) => grants)).toEqual([undefined, ["g1"]]);
  });

  it("lets the first one through of two that were found fit by it, and the other not", async () => {
    const { site, bare, copy } = await serve();
    const subject = ".github/workflows/x.yml";
    const grant = { id: "g1", uses: { most: 1, before: 0 } };
    const exceptions = [{ repo: "app", code: "path-protected", subject, grant }];
    await site.reload({ exceptions }, { review: true });
    await copy.commit({ [subject]: "on: push\n" });
    const pushes = [copy.push("one"), copy.push("two")];
    approve(site, await asked(site, 2));
    const told = await Promise.all(pushes);
    expect(told.map(({ code }) => code).sort()).toEqual([0, 1]);
    expect(told.find(({ code }) => code === 1)?.stderr).toContain("denied: grant-ended");
    expect((await snapshot(bare)).match(/refs\/heads\/bottle\//g)).toHaveLength(1);
  });
});

/** The questions that are open, once there are so many. */
async function asked(site: GateSite, count: number): Promise<readonly string[]> {
  return await until(() => {
    const asks = site.messages.flatMap((message) => (message.type === "ask" ? [message.ask] : []));
    return asks.length >= count && asks;
  });
}

function approve(site: GateSite, asks: readonly string[]): void {
  for (const ask of asks) site.gate.answer(ask, { decision: "approve" });
}

describe("a frozen bottle", () => {
  it("pushes nothing, and can again once it is thawed", async () => {
    const { site, bare, copy } = await serve();
    await copy.commit({ "one.txt": "one" });
    const before = await snapshot(bare);
    await site.reload({ frozen: true });
    expect((await copy.push("one")).stderr).toContain("frozen");
    expect(await snapshot(bare)).toBe(before);
    await site.reload({ frozen: false });
    expect(await copy.push("one")).toMatchObject({ code: 0 });
  });

  it("does not push what had been found fit before it was frozen", async () => {
    const { site, bare, copy } = await serve();
    await site.reload({}, { review: true });
    await copy.commit({ "one.txt": "one" });
    const before = await snapshot(bare);
    const pushing = copy.push("one");
    const asks = await asked(site, 1);
    await site.reload({ frozen: true }, { review: true });
    approve(site, asks);
    const { code, stderr } = await pushing;
    expect(code).toBe(1);
    expect(stderr).toContain("denied: frozen");
    expect(await snapshot(bare)).toBe(before);
  });
});
