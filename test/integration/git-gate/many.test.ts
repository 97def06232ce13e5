/**
 * Many clients that push at once, some of them what must not leave, some to one branch, and some that are killed: who was
 * told "ok" is at the upstream, who was refused is not, and who was told nothing reads the truth in the next fetch.
 * SOAK=1 makes 200 pushes of it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { closesAfterEach } from "../../support/closing.ts";
import { bareUpstream, must, OWN, startSite, TOKEN, type WorkingCopy } from "../../support/git-gate.ts";
import { pidOf } from "../../support/pid-of.ts";

const CLIENTS = 8;
const PUSHES = process.env["SOAK"] === undefined ? 5 : 25;
const TIME_LIMIT = 20_000 * PUSHES;

const closing = closesAfterEach();

type Told = "ok" | "refused" | "nothing";

interface Push {
  readonly kind: (typeof KINDS)[number];
  readonly ref: string;
  readonly id: string;
  readonly told: Told;
  readonly words: string;
}

/** What each client does in turn; they begin at different ones. */
const KINDS = ["clean", "secret", "shared", "killed", "shared"] as const;
const SHARED = `${OWN}/shared`;

describe("many clients at once", () => {
  it(
    "are each told the truth, or nothing",
    async () => {
      const bare = await bareUpstream();
      closing.push(() => rm(dirname(bare), { recursive: true, force: true }));
      const site = await startSite({ upstream: { kind: "local", path: bare } });
      closing.push(() => site.close());
      const copies: WorkingCopy[] = [];
      for (let client = 0; client < CLIENTS; client++) copies.push(await site.clone());

      const pushes: Push[] = [];
      await Promise.all(
        copies.map(async (copy, client) => {
          for (let turn = 0; turn < PUSHES; turn++) {
            const kind = KINDS[(client + turn) % KINDS.length] ?? "clean";
            pushes.push(await pushOnce(copy, kind, `${client}-${turn}`));
          }
        }),
      );

      // Those that were killed may still be on their way.
      await site.gate.drain();
      const next = await startSite({ upstream: { kind: "local", path: bare }, folder: site.folder });
      closing.push(() => next.close());
      const reader = copies[0] ?? (await next.clone());
      await reader.git("fetch", "-q", `${next.url}/app.git`, "+refs/*:refs/seen/*");
      const seen = new Set((await reader.git("rev-list", "--glob=refs/seen/*")).split("\n"));
      const there = new Set((await must(["git", "--git-dir", bare, "rev-list", "--all"])).split("\n"));
      expect(seen).toEqual(there);

      for (const { kind, ref, id, told, words } of pushes) {
        const what = `${kind} push to ${ref}, told ${told}: ${words}`;
        if (told !== "nothing") expect(there.has(id), what).toBe(told === "ok");
        if (kind === "clean") expect(told, what).toBe("ok");
        if (kind === "secret") expect(told, what).toBe("refused");
      }
      // Whatever upstream has, the log says so; and no other.
      const logged = new Set(
        site.events("git.pushed").flatMap(({ updates }) => (updates as { new: string }[]).map((u) => u.new)),
      );
      for (const { id } of pushes) expect(logged.has(id)).toBe(there.has(id));
      expect(pushes).toHaveLength(CLIENTS * PUSHES);
      expect(new Set(pushes.filter(({ told }) => told === "ok").map(({ kind }) => kind))).toContain("shared");
    },
    TIME_LIMIT,
  );
});

async function pushOnce(copy: WorkingCopy, kind: Push["kind"], name: string): Promise<Push> {
  const ref = kind === "shared" ? SHARED : `${OWN}/${name}`;
  // Each stands by itself, so that no refused one is in what another brings.
  const shared = kind === "shared" && (await copy.try("fetch", "-q", "origin", SHARED)).code === 0;
  await copy.git("reset", "-q", "--hard", shared ? "FETCH_HEAD" : "origin/main");
  const id = await copy.commit({ [`${name}.txt`]: kind === "secret" ? TOKEN : `${name}\n` }, name);
  const child = spawn("git", ["push", "origin", `HEAD:${ref}`], {
    cwd: copy.folder,
    detached: true,
    env: { PATH: process.env["PATH"], LC_ALL: "C", HOME: "/nonexistent", GIT_CONFIG_NOSYSTEM: "1" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words += text;
  });
  const ended = once(child, "close");
  if (kind === "killed") {
    // At another moment each time, from before it has asked to after it was told.
    await Promise.race([ended, sleep(150 * (1 + ((name.charCodeAt(0) + name.charCodeAt(2)) % 10)))]);
    try {
      process.kill(-pidOf(child), "SIGKILL");
    } catch {
      // It was faster.
    }
  }
  const [code] = (await ended) as [number | null];
  return { kind, ref, id, told: toldBy(code, words), words };
}

function toldBy(code: number | null, words: string): Told {
  if (code === 0) return "ok";
  return /denied: |\[rejected\]|\[remote rejected\]/.test(words) ? "refused" : "nothing";
}
