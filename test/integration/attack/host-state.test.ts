/** What is looked for after bottles are gone is theirs, and not somebody else's who was given its number. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { hostState, pinNamespaces } from "../../../src/attack/world/host-state.ts";
import { eventually } from "../../support/bottle-cli.ts";

const OWN = ["--user", "--map-root-user", "--net"];
/** The kernel gives the lowest number that is free: one of these would have it. */
const NEXT = 12;

it("keeps a namespace's number from the next one until it has been looked for", async () => {
  const mark = `/nowhere/pinned-${process.pid}`;
  const own = readlinkSync("/proc/self/ns/net");
  const theirs = spawn("unshare", [...OWN, "sleep", "600"], {
    env: { ...process.env, MARK: mark },
    stdio: "ignore",
  });
  const link = (): string | undefined =>
    hostState(mark, []).namespaces.find((name) => name.startsWith("net:") && name !== own);
  try {
    const number = await eventually("a namespace of its own", link);
    const unpin = pinNamespaces(mark, []);
    theirs.kill("SIGKILL");
    await once(theirs, "exit");
    const next: string[] = [];
    for (let n = 0; n < NEXT; n++) {
      // The kernel takes its time to clear away the one that is gone.
      await pause(50);
      next.push(
        execFileSync("unshare", [...OWN, "readlink", "/proc/self/ns/net"], { encoding: "utf8" }).trim(),
      );
    }
    unpin();
    expect(next).not.toContain(number);
  } finally {
    theirs.kill("SIGKILL");
  }
});
