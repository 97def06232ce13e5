/** Work that is taken out of a guest which does all that it is asked, and takes its time over each thing. */
import { mkdirSync } from "node:fs";
import { afterEach, expect, it, vi } from "vitest";
import type { LaunchedBottle } from "../../../src/keeper/launch.ts";
import { takeOutWork } from "../../../src/keeper/settlement.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";
import { writeGuestFiles } from "../../../src/provision/transfer.ts";
import { importWorkspace } from "../../../src/provision/workspace/import.ts";
import { snapshotBase } from "../../../src/provision/workspace/snapshot.ts";
import { createLocalGuest } from "../../support/local-guest.ts";
import { createOperator } from "../../support/operator.ts";

const MINUTE = 60_000;

afterEach(() => vi.useRealTimers());

it("is given up after an hour, by a guest whose programs each stay within their own limit", async () => {
  const operator = createOperator();
  const guest = createLocalGuest();
  try {
    operator.repository("repo", { "a.txt": "one\n" });
    mkdirSync(operator.path("state"));
    await writeGuestFiles(guest.exec, [gitIdentityFile({ name: "Agent", email: "agent@example.com" })]);
    const options = { scratchDir: operator.path("state"), progress: () => {} };
    const base = await snapshotBase(guest, await importWorkspace(guest, operator.path("repo"), options));
    await guest.sh("cd ~/workspace && echo two >a.txt && git commit -qam two");
    const logged: string[] = [];
    const bottle = (minutesEach: number): LaunchedBottle => {
      const slow: typeof guest.exec = (...call) => {
        vi.advanceTimersByTime(minutesEach * MINUTE);
        return guest.exec(...call);
      };
      return {
        ...{ id: "agent-abcde", base, record: { plan: {} }, guest: { ...guest, exec: slow } },
        paths: { work: operator.path("state/work.git") },
        log: { happened: async (event: string) => void logged.push(event) },
      } as unknown as LaunchedBottle;
    };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await expect(takeOutWork(bottle(20))).rejects.toThrow("the guest was not done with it in 60 minutes");
    expect(logged).toEqual([]);
    // Of the same guest a faster one has it all.
    expect(await takeOutWork(bottle(1))).toMatchObject({ commits: 1 });
    expect(logged).toEqual(["work.exported"]);
  } finally {
    await guest.remove();
    operator.remove();
  }
});
