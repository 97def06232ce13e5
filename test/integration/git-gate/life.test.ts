/** Pushes that wait, that race, and that are cut off; what everybody was told must be what upstream has. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { FromSidecar } from "../../../src/contract/sidecar.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  bareUpstream,
  type GateSite,
  must,
  OWN,
  type SiteOptions,
  snapshot,
  startSite,
  TOKEN,
} from "../../support/git-gate.ts";
import { pidOf } from "../../support/pid-of.ts";

const closing = closesAfterEach();

async function begin(options: Omit<SiteOptions, "upstream"> = {}): Promise<{ site: GateSite; bare: string }> {
  const bare = await bareUpstream();
  const site = await startSite({ upstream: { kind: "local", path: bare }, ...options });
  closing.push(
    () => site.close(),
    () => rm(dirname(bare), { recursive: true, force: true }),
  );
  return { site, bare };
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (let left = 600; left > 0; left--) {
    const seen = look();
    if (seen !== undefined && seen !== false) return seen;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come to pass");
}

const nextAsk = (site: GateSite): Promise<Extract<FromSidecar, { type: "ask" }>> =>
  until(
    () => site.messages.find((message) => message.type === "ask") as Extract<FromSidecar, { type: "ask" }>,
  );

describe("a push that waits for the operator", () => {
  it("is shown to them, and goes on when they approve", async () => {
    const { site, bare } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    const id = await copy.commit({ "src/a.ts": "a\n" }, "add a\n\nlong text");
    const pushing = copy.push("work");
    const ask = await nextAsk(site);
    expect(ask.data).toEqual({
      kind: "git-push",
      repo: "app",
      updates: [{ ref: `${OWN}/work`, old: "0".repeat(40), new: id }],
      commits: [{ id, author: "Agent", subject: "add a" }],
      commitCount: 1,
      files: ["A src/a.ts"],
      fileCount: 1,
    });
    expect(await must(["git", "--git-dir", bare, "for-each-ref", OWN])).toBe("");
    expect(site.gate.answer("another", { decision: "approve" })).toBe(false);
    expect(site.gate.answer(ask.ask, { decision: "yes" })).toBe(false);
    expect(site.gate.answer(ask.ask, { decision: "approve", note: "well done" })).toBe(true);
    const pushed = await pushing;
    expect(pushed).toMatchObject({ code: 0 });
    expect(pushed.stderr).toContain("waiting for the operator");
    expect(pushed.stderr).toContain("the operator says: well done");
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    expect(site.events("git.pushed")).toMatchObject([{ reviewed: true }]);
  });

  it("shows the commits there are, and none that the words of one make up", async () => {
    const { site } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    const forged = ["\x1e", "f".repeat(40), "\x1f", "Operator", "\x1f", "reviewed"].join("");
    const id = await copy.commit({ "a.ts": "a\n" }, `add a${forged}\n\n${forged}`);
    const pushing = copy.push("work");
    const ask = await nextAsk(site);
    const shown = ask.data["commits"] as { id: string }[];
    expect(shown.map((commit) => commit.id)).toEqual([id]);
    site.gate.answer(ask.ask, { decision: "refuse" });
    await pushing;
  });

  it("is refused in the operator's words", async () => {
    const { site, bare } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const before = await snapshot(bare);
    const pushing = copy.push();
    site.gate.answer((await nextAsk(site)).ask, { decision: "refuse", note: "not on a Friday" });
    const { code, stderr } = await pushing;
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: review-refused");
    expect(stderr).toContain("the operator says: not on a Friday");
    expect(await snapshot(bare)).toBe(before);
  });

  it("is looked at first: nobody is asked about a secret", async () => {
    const { site } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    await copy.commit({ "a.ts": TOKEN });
    expect((await copy.push()).stderr).toContain("denied: secret-found");
    expect(site.messages.filter(({ type }) => type === "ask")).toEqual([]);
  });

  it("is judged again by the rules that hold when it is approved, and by what upstream has then", async () => {
    const { site, bare } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const pushing = copy.push();
    const ask = await nextAsk(site);
    await site.reload({}, { review: true, refs: [] });
    site.gate.answer(ask.ask, { decision: "approve" });
    expect((await pushing).stderr).toContain("denied: ref-not-allowed");
    expect(await must(["git", "--git-dir", bare, "for-each-ref", OWN])).toBe("");
  });

  it("regression: is asked about in fewer bytes than the keeper reads at once, however long its names are", async () => {
    const { site } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    for (let i = 0; i < 3; i++) {
      const names = Array.from(
        { length: 100 },
        (_, n) => `${i}${n}${"\u8a9e".repeat(60)}/${"\u6587".repeat(60)}`,
      );
      await copy.commit(Object.fromEntries(names.map((name) => [name, "x\n"])), "\u8a9e".repeat(200));
    }
    const pushing = copy.push();
    const ask = await nextAsk(site);
    expect(Buffer.byteLength(JSON.stringify(ask))).toBeLessThan(256 * 1024 * 0.75);
    expect(ask.data).toMatchObject({ commitCount: 3, fileCount: 300 });
    site.gate.answer(ask.ask, { decision: "approve" });
    expect((await pushing).code).toBe(0);
  });

  it("is given up when the agent goes away, and an answer comes too late", async () => {
    const { site, bare } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const child = spawn("git", ["push", "origin", `HEAD:${OWN}/work`], {
      cwd: copy.folder,
      detached: true,
      stdio: "ignore",
    });
    const ask = await nextAsk(site);
    process.kill(-pidOf(child), "SIGKILL");
    await until(() => site.events("git.refused").find(({ code }) => code === "push-abandoned"));
    expect(site.gate.answer(ask.ask, { decision: "approve" })).toBe(false);
    expect(await must(["git", "--git-dir", bare, "for-each-ref", OWN])).toBe("");
    // The mirror is free, and clean.
    await copy.git("fetch", "-q");
    expect(await snapshot(join(site.config.stateDir, "app.git"))).toBe(await snapshot(bare));
  });
});

describe("upstream changes while a push is judged", () => {
  it("by somebody else, on the same ref: the lease holds, nothing of theirs is lost", async () => {
    const { site, bare } = await begin({ repo: { review: true } });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const pushing = copy.push("shared");
    const ask = await nextAsk(site);
    // Behind the gate's back.
    await must(["git", "--git-dir", bare, "update-ref", `${OWN}/shared`, "main"]);
    const before = await snapshot(bare);
    site.gate.answer(ask.ask, { decision: "approve" });
    const { code, stderr } = await pushing;
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: ref-moved");
    expect(await must(["git", "--git-dir", bare, "for-each-ref"])).toContain(`${OWN}/shared`);
    expect((await snapshot(bare)).split("\n--\n").slice(0, 2)).toEqual(before.split("\n--\n").slice(0, 2));
  });

  it("refuses one of two refs: neither goes", async () => {
    const { site, bare } = await begin();
    await writeFile(join(bare, "hooks", "update"), `#!/bin/sh\ncase $1 in *two) exit 1;; esac\n`, {
      mode: 0o755,
    });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const { code, stderr } = await copy.try("push", "origin", `HEAD:${OWN}/one`, `HEAD:${OWN}/two`);
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: upstream-refused");
    expect(await must(["git", "--git-dir", bare, "for-each-ref", OWN])).toBe("");
  });
});

/** In a soak 208 pushes: each client makes two in a round. */
const CLIENTS = 8;
const ROUNDS = process.env["SOAK"] === undefined ? 3 : 13;

describe("many at once", () => {
  it("fetch: they share what is asked of upstream", async () => {
    const { site } = await begin();
    await site.clone();
    const before = site.events("git.fetched").length;
    await Promise.all(Array.from({ length: 6 }, () => must(["git", "ls-remote", `${site.url}/app.git`])));
    expect(site.events("git.fetched")).toHaveLength(before + 6);
  });

  it("push: each is told the truth", { timeout: 600_000 }, async () => {
    const { site, bare } = await begin();
    const copies = await Promise.all(Array.from({ length: CLIENTS }, () => site.clone()));
    const told = new Map<string, { id: string; ok: boolean }>();
    await Promise.all(
      copies.map(async (copy, client) => {
        for (let i = 0; i < ROUNDS; i++) {
          const dirty = i === 2;
          const id = await copy.commit({ [`f${client}.txt`]: dirty ? TOKEN : `${client} ${i}\n` });
          const branch = `c${client}-${i}`;
          const { code } = await copy.push(branch);
          told.set(`${OWN}/${branch}`, { id, ok: code === 0 });
          if (dirty) await copy.git("reset", "-q", "--hard", "HEAD~1");
          // And all of them on one ref: at most one of each round can be the next.
          const race = await copy.push("race", "--force");
          if (race.code === 0)
            told.set(`race ${client} ${i}`, { id: await copy.git("rev-parse", "HEAD"), ok: true });
        }
      }),
    );
    const refs = await must(["git", "--git-dir", bare, "for-each-ref", "--format=%(refname) %(objectname)"]);
    for (const [ref, { id, ok }] of told) {
      if (!ref.startsWith("refs/")) continue;
      expect(refs.includes(`${ref} ${id}`), `${ref} was told ${ok}`).toBe(ok);
      expect(ok).toBe(!ref.endsWith("-2"));
    }
    expect(await snapshot(join(site.config.stateDir, "app.git"))).not.toContain("missing");
    const pushed = site
      .events("git.pushed")
      .flatMap(({ updates }) => updates as { ref: string; new: string }[]);
    expect(pushed.filter(({ ref }) => !ref.endsWith("/race"))).toHaveLength(CLIENTS * (ROUNDS - 1));
    expect(refs).toContain(`${OWN}/race ${pushed.filter(({ ref }) => ref.endsWith("/race")).at(-1)?.new}`);
  });
});

describe("a push that is cut off", () => {
  it("by its client, while the upstream's hook runs, reaches upstream whole, and the next fetch shows it", async () => {
    const { site, bare } = await begin();
    const marker = join(dirname(bare), "began");
    await writeFile(join(bare, "hooks", "pre-receive"), `#!/bin/sh\ntouch ${marker}\nsleep 1\n`, {
      mode: 0o755,
    });
    const copy = await site.clone();
    const id = await copy.commit({ "a.ts": "a\n" });
    const child = spawn("git", ["push", "origin", `HEAD:${OWN}/cut`], {
      cwd: copy.folder,
      detached: true,
      stdio: "ignore",
    });
    await until(() => existsSync(marker));
    process.kill(-pidOf(child), "SIGKILL");
    await until(() => site.events("git.pushed")[0]);
    await copy.git("fetch", "-q");
    expect(await copy.git("rev-parse", `origin/bottle/coder-ab1cd/cut`)).toBe(id);
  });

  it("by its client while it sends, leaves nothing", async () => {
    const { site, bare } = await begin();
    const copy = await site.clone();
    await copy.commit({
      "big.bin": Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7919 * i) >> 7)),
    });
    const before = await snapshot(bare);
    const child = spawn("git", ["-c", "http.postBuffer=4096", "push", "origin", `HEAD:${OWN}/cut`], {
      cwd: copy.folder,
      detached: true,
      stdio: "ignore",
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    try {
      process.kill(-pidOf(child), "SIGKILL");
    } catch {
      // It was faster.
    }
    await copy.git("fetch", "-q");
    if (site.events("git.pushed").length === 0) expect(await snapshot(bare)).toBe(before);
  });

  it("by an upstream that goes away in the middle, is neither accepted nor refused", async () => {
    const { site, bare } = await begin();
    await writeFile(join(bare, "hooks", "pre-receive"), "#!/bin/sh\nkill -9 $PPID\n", { mode: 0o755 });
    const copy = await site.clone();
    await copy.commit({ "a.ts": "a\n" });
    const { code, stderr } = await copy.push("gone");
    expect(code).not.toBe(0);
    expect(stderr).toContain("the talk with the upstream broke off; fetch to see whether it did");
    expect(stderr).not.toContain("denied:");
    expect(stderr).not.toContain("[remote rejected]");
    expect(site.events("git.unresolved")).toMatchObject([{ repo: "app", updates: [{ ref: `${OWN}/gone` }] }]);
    await rm(join(bare, "hooks", "pre-receive"));
    expect(await copy.push("gone")).toMatchObject({ code: 0 });
  });
});
