/** What a guest does when it has used up what it has: its program hears of it, and everything else goes on. */
import { expect, it } from "vitest";
import type { Guest } from "../../../../src/contract/backend.ts";
import { finish, runIn, sh, startBottle } from "../../../support/bottle-guest.ts";
import type { BackendUnderTest } from "../behaviour.ts";

const PIECE_BYTES = 10_000_000;
/** Takes memory and touches it, until there is none; says so after each piece. */
const GREEDY = `$| = 1; my @held; while (1) { push @held, 'x' x ${PIECE_BYTES}; print "." }`;
/** A kernel looks everywhere for room before it says that there is none; and an emulated one on a busy host takes its time. */
const EMULATED_MS = 180_000;
const MEMORY_BYTES = 512 * 1024 ** 2;

const PROCESSES = 100;
/** Starts programs that wait, says how many it could, and ends them all. */
const FORK = `$| = 1; my $n = 0;
while (defined(my $pid = fork)) { if (!$pid) { sleep 600; exit } last if ++$n > ${2 * PROCESSES} }
print $n; kill 9, -getpgrp`;

/** Takes all the room there is: as much as is left at one go, then half of it, and so on. */
const FILL = `size=$((64 << 30)); n=0
while [ $size -ge 4096 ]; do n=$((n + 1)); fallocate -l $size fill.$n 2>/dev/null || size=$((size / 2)); done
head -c 1000000 /dev/zero >more`;

export function testLimits(shared: () => Guest, under: BackendUnderTest): void {
  const { room, memory } = under;
  if ("not" in room) it.skip(`tells a program that its disk is full, and works on (${room.not})`);
  else
    it(
      "tells a program that its disk is full, and works on",
      async () => {
        const guest = shared();
        const options = { cwd: room.folder } as const;
        // Control: it fits before.
        expect(await sh(guest, "head -c 1000000 /dev/zero >more && wc -c <more && rm more", options)).toBe(
          "1000000",
        );
        const { code, stderr } = await runIn(guest, ["sh", "-c", FILL], options);
        expect(code).not.toBe(0);
        expect(stderr.toString()).toMatch(/No space left/);
        expect(
          await sh(guest, "rm -f fill.* more && echo enough >note && cat note && rm note", options),
        ).toBe("enough");
      },
      EMULATED_MS,
    );

  if (memory !== "limited") it.skip(`kills the program that takes all memory, and works on (${memory.not})`);
  else
    it(
      "kills the program that takes all memory, and works on",
      async () => {
        const bottle = await startBottle(under.backend, {
          resources: { pids: 512, memoryBytes: MEMORY_BYTES },
        });
        const waiting = await bottle.guest.exec(["sh", "-c", "read x; echo $x"]);
        const { status, stdout } = await runIn(bottle.guest, ["perl", "-e", GREEDY]);
        // It was given some, and no more than there is.
        expect(stdout.length * PIECE_BYTES).toBeGreaterThan(MEMORY_BYTES / 4);
        expect(stdout.length * PIECE_BYTES).toBeLessThan(MEMORY_BYTES);
        // Killed, or told by its own allocator.
        expect(status).not.toEqual({ kind: "exited", code: 0 });
        expect(["exited", "signalled"]).toContain(status.kind);
        expect((await finish(waiting, "still there\n")).stdout.toString()).toBe("still there\n");
        expect(await sh(bottle.guest, "echo on")).toBe("on");
        await bottle.close();
      },
      EMULATED_MS,
    );

  if (under.losesProcesses !== undefined)
    it.skip(`has no more processes than it may, and works on (${under.losesProcesses})`);
  else
    it("has no more processes than it may, and works on", async () => {
      const bottle = await startBottle(under.backend, { resources: { pids: PROCESSES } });
      const said = await runIn(bottle.guest, ["perl", "-e", FORK]);
      const count = Number(said.stdout.toString());
      expect(count, said.stderr.toString()).toBeGreaterThan(PROCESSES / 2);
      expect(count).toBeLessThan(PROCESSES);
      expect(await sh(bottle.guest, "echo on")).toBe("on");
      await bottle.close();
    });
}
