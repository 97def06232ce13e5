/** What a guest does when it has used up what it has: its program hears of it, and everything else goes on. */
import { expect, it } from "vitest";
import { runIn, sh, startBottle } from "../../../support/bottle-guest.ts";
import type { BackendUnderTest } from "../behaviour.ts";

/** Takes memory and touches it, until there is none. */
const GREEDY = "my @held; push @held, 'x' x 10_000_000 while 1";
const MEMORY_BYTES = 512 * 1024 ** 2;

export function testLimits(under: BackendUnderTest): void {
  it.skipIf(!under.hasOwnDisk)("tells a program that its disk is full, and works on", async () => {
    const bottle = await startBottle(under.backend);
    const { guest } = bottle;
    const { code, stderr } = await runIn(guest, ["fallocate", "-l", "64G", "fill"]);
    expect(code).not.toBe(0);
    expect(stderr.toString()).toMatch(/No space left/);
    // What it could have is taken: nothing more fits.
    const more = await runIn(guest, ["sh", "-c", "head -c 100000000 /dev/zero >more"]);
    expect(more.stderr.toString()).toMatch(/No space left/);
    expect(await sh(guest, "rm -f fill more && echo enough >note && cat note")).toBe("enough");
    await bottle.close();
  });

  it.skipIf(!under.hasOwnMemory)("kills the program that takes all memory, and works on", async () => {
    const bottle = await startBottle(under.backend, { resources: { pids: 512, memoryBytes: MEMORY_BYTES } });
    const { status } = await runIn(bottle.guest, ["perl", "-e", GREEDY]);
    // Killed, or told by its own allocator.
    expect(status).not.toEqual({ kind: "exited", code: 0 });
    expect(["exited", "signalled"]).toContain(status.kind);
    expect(await sh(bottle.guest, "echo on")).toBe("on");
    await bottle.close();
  });

  it.skipIf(under.losesProcesses !== undefined)(
    "has no more processes than it may, and works on",
    async () => {
      const bottle = await startBottle(under.backend, { resources: { pids: 100 } });
      const fork =
        "my $n = 0; while (defined(my $pid = fork)) { if (!$pid) { sleep 600; exit } $n++ } print $n";
      const { stdout } = await runIn(bottle.guest, ["perl", "-e", `${fork}; kill 9, -getpgrp`]);
      expect(Number(stdout.toString() || "0")).toBeLessThan(100);
      expect(await sh(bottle.guest, "echo on")).toBe("on");
      await bottle.close();
    },
  );
}
