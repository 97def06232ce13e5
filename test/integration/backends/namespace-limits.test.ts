/** What a namespace guest can use up: its share, and then it is told so; the host and its init go on. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { limitable } from "../../../src/backends/namespace/limits.ts";
import { countsProcesses, hardLimit, OPEN_FILES } from "../../../src/jail/resource-limits.ts";
import { runIn, sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { processesOf } from "../../support/namespace-host.ts";

const PIDS = 80;
const MEGABYTE = 1024 * 1024;

let cgroups: readonly string[];
beforeAll(() => {
  cgroups = limitable();
});

/** A skip must be seen: without cgroups nobody is held back. */
function needs(ctx: TestContext, holds: boolean, what: string): void {
  if (holds) return;
  console.warn(`SKIPPED: ${what}`);
  ctx.skip(what);
}

async function withBottle(
  resources: Parameters<typeof startBottle>[1],
  use: (bottle: TestBottle) => Promise<void>,
): Promise<void> {
  const bottle = await startBottle(namespaceBackend, resources);
  try {
    await use(bottle);
  } finally {
    await bottle.close();
  }
}

/** Starts one after the other and counts, until the shell cannot fork and ends. */
const FORK_UNTIL_REFUSED =
  "n=0; while [ $n -lt 4000 ]; do sleep 60 >/dev/null 2>&1 & n=$((n+1)); echo $n; done 2>/dev/null";

describe("a namespace guest", () => {
  it("starts no more processes than it may, and is well when they are gone", async (ctx) => {
    needs(ctx, cgroups.includes("pids") || countsProcesses(), "nothing limits processes here");
    await withBottle({ resources: { pids: PIDS } }, async ({ guest }) => {
      const { stdout } = await runIn(guest, ["sh", "-c", FORK_UNTIL_REFUSED]);
      const started = Number(stdout.toString().trim().split("\n").at(-1));
      expect(started).toBeGreaterThan(10);
      expect(started).toBeLessThan(PIDS);
      // Without starting anything that it might be too late for.
      await sh(
        guest,
        `for p in /proc/[0-9]*; do read name <$p/comm; [ "$name" = sleep ] && kill "\${p#/proc/}"; done; :`,
      );
      expect(await sh(guest, "echo well; echo well | cat")).toBe("well\nwell");
    });
  });

  it("is held back by the kernel's own count where there is no cgroup", async (ctx) => {
    needs(ctx, countsProcesses(), "this kernel does not count processes by user namespace");
    await withBottle({ resources: { pids: PIDS } }, async ({ guest }) => {
      expect(await sh(guest, "ulimit -u 2>/dev/null || ulimit -p", {})).toBe(String(PIDS));
      // It cannot be raised again.
      expect(
        await sh(guest, `prlimit --nproc=${PIDS * 2}:${PIDS * 2} true 2>/dev/null || echo refused`),
      ).toBe("refused");
    });
  });

  it("has no more files open in a process than the kernel gives by itself, and cannot raise that", async () => {
    await withBottle({}, async ({ guest }) => {
      const files = hardLimit("open files", OPEN_FILES);
      expect(await sh(guest, "ulimit -Sn; ulimit -Hn")).toBe(`${files}\n${files}`);
      const more = `${files + 1}:${files + 1}`;
      expect(await sh(guest, `prlimit --nofile=${more} true 2>/dev/null || echo refused`)).toBe("refused");
    });
  });

  it("can watch files by half of what the kernel gives its user on the host", async () => {
    const most = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "latin1"));
    // inotify_init1, by the kernel's number for it.
    const script = `my $call = {x64 => 294, arm64 => 26}->{$ARGV[0]}; my @open;
      push @open, $_ while ($_ = syscall($call, 0)) > 0; print "$#open $!"`;
    await withBottle({}, async ({ guest }) => {
      const seen = await runIn(guest, ["perl", "-e", script, process.arch]);
      const [, last, why] = /^(\d+) (.*)$/.exec(seen.stdout.toString()) ?? [];
      expect(why).toContain("Too many open files");
      expect(Number(last)).toBeGreaterThanOrEqual(0);
      expect(Number(last) + 1).toBeLessThanOrEqual(Math.floor(most / 2));
    });
  });

  it("does not hold back others of the same operator", async (ctx) => {
    needs(ctx, countsProcesses(), "this kernel does not count processes by user namespace");
    await withBottle({ resources: { pids: PIDS } }, (one) =>
      withBottle({ resources: { pids: PIDS } }, async (other) => {
        const bomb = await one.guest.exec([
          "sh",
          "-c",
          "n=0; while [ $n -lt 200 ]; do sleep 30 & n=$((n+1)); done 2>/dev/null; sleep 30",
        ]);
        bomb.stdout.resume();
        bomb.stderr.resume();
        expect(await sh(other.guest, "echo well")).toBe("well");
        bomb.kill("SIGKILL");
      }),
    );
  });

  it("survives a fork bomb, and goes with it at teardown", async (ctx) => {
    needs(ctx, cgroups.includes("pids") || countsProcesses(), "nothing limits processes here");
    await withBottle({ resources: { pids: PIDS } }, async (bottle) => {
      const { guest } = bottle;
      const bomb = await guest.exec(["sh", "-c", "trap '' TERM; b() { b | b & b; }; b"]);
      bomb.stdin.end();
      bomb.stdout.resume();
      bomb.stderr.resume();
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(processesOf(bottle).length).toBeLessThan(PIDS + 10);
      await bottle.scope.close();
      expect(processesOf(bottle)).toEqual([]);
    });
  });

  it("cannot keep more in /tmp and /dev/shm than they hold", async () => {
    await withBottle({}, async ({ guest }) => {
      const sizes = await sh(guest, "df -B1 --output=size /tmp /dev/shm | tail -n +2");
      for (const size of sizes.split("\n")) expect(Number(size)).toBeLessThanOrEqual(1024 * MEGABYTE);
      // And in the folder of devices next to nothing.
      expect(await sh(guest, "echo x 2>/dev/null >/dev/x || echo refused")).toBe("refused");
    });
  });
});
