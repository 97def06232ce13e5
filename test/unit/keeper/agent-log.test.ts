import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openAgentLog } from "../../../src/keeper/agent-log.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "agent-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const never = (): void => {
  throw new Error("there is room");
};

describe("what the agent said", () => {
  it("is kept in its order, in a file that only the operator reads and that is there from the beginning", async () => {
    const path = join(folder, "agent.log");
    const log = openAgentLog(path, never);
    await Promise.all([log.append(Buffer.from("one ")), log.append(Buffer.from("two"))]);
    await log.close();
    expect(readFileSync(path, "utf8")).toBe("one two");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const silent = openAgentLog(join(folder, "silent.log"), never);
    await silent.close();
    expect(readFileSync(join(folder, "silent.log"), "utf8")).toBe("");
  });

  it("waits where there is no room, for a retry that finds some or for the end", async () => {
    let told = 0;
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    // The kernel's own disk without any room.
    const log = openAgentLog("/dev/full", () => void told++);
    await log.append(Buffer.from("lost at last"));
    while (told < 1) await turn();
    let mayGoOn = false;
    const later = log.append(Buffer.from("and this")).then(() => {
      mayGoOn = true;
    });
    log.retry();
    while (told < 2) await turn();
    expect(mayGoOn).toBe(false);
    await log.close();
    await later;
    expect([told, mayGoOn]).toEqual([2, true]);
  });

  it("comes no faster than the disk takes it, and all of it arrives", async () => {
    const path = join(folder, "agent.log");
    const log = openAgentLog(path, never);
    const chunk = Buffer.alloc(300_000, "x");
    const many = Array.from({ length: 10 }, () => log.append(chunk));
    await Promise.all(many);
    await log.close();
    expect(statSync(path).size).toBe(3_000_000);
  });

  it("is lost, and nobody waits for it, where it cannot be written at all", async () => {
    const log = openAgentLog(folder, never);
    await log.append(Buffer.from("x"));
    await log.close();
  });
});
