import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AuditLog } from "../../../src/audit/log.ts";
import type { SidecarNotice } from "../../../src/bundle/bundle.ts";
import { openBottleLog, recordNotice } from "../../../src/keeper/bottle-log.ts";

const ID = "test-00000";
let home: string;
let earlierHome: string | undefined;
let log: AuditLog;
let failures: unknown[];
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "bottle-log-"));
  earlierHome = process.env["BOT_BOTTLE_HOME"];
  process.env["BOT_BOTTLE_HOME"] = home;
  failures = [];
  log = await openBottleLog(ID, { onFailure: (error) => failures.push(error), onLack: () => {} });
});
afterEach(async () => {
  await log.close().catch(() => {});
  if (earlierHome === undefined) delete process.env["BOT_BOTTLE_HOME"];
  else process.env["BOT_BOTTLE_HOME"] = earlierHome;
  rmSync(home, { recursive: true, force: true });
});

const lines = (): { event: string; data: unknown }[] =>
  readFileSync(log.path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; data: unknown })
    .filter(({ event }) => !event.startsWith("log."));
const record = (notice: SidecarNotice): Promise<void> => recordNotice(log, "egress", notice);
const event = (name: string, data: Record<string, unknown> = {}): SidecarNotice => ({
  kind: "message",
  message: { type: "event", event: name, data },
});

describe("what a sidecar says", () => {
  it("git-gate's begins with git., and what begins with git-gate. is the keeper's", async () => {
    await recordNotice(log, "git-gate", event("git.pushed", { repo: "app" }));
    await recordNotice(log, "git-gate", event("git-gate.died"));
    await recordNotice(log, "git-gate", event("egress.denied"));
    expect(lines().map(({ event }) => event)).toEqual([
      "git.pushed",
      "git-gate.misbehaved",
      "git-gate.misbehaved",
    ]);
  });

  it("goes in under its own name", async () => {
    await record(event("egress.denied", { host: "example.com" }));
    await record({ kind: "message", message: { type: "log", level: "warn", text: "slow" } });
    expect(lines()).toMatchObject([
      { event: "egress.denied", data: { host: "example.com" } },
      { event: "egress.log", data: { level: "warn", text: "slow" } },
    ]);
  });

  it.each([
    "log.head",
    "log.opened",
    "bottle.verified",
    "agent.started",
    "git-gate.pushed",
    "egress",
    "egressive.denied",
    "EGRESS.DENIED",
    "egress.denied\n",
    "egress..denied",
    `egress.${"x".repeat(100)}`,
    "",
    "egress.died",
    "egress.restarted",
    "egress.failed-restart",
    "egress.misbehaved",
    "egress.log",
  ])("is misbehaviour, and no event, as %j; and the log goes on", async (name) => {
    await record(event(name, { forged: true }));
    await record(event("egress.allowed"));
    expect(lines()).toMatchObject([
      { event: "egress.misbehaved", data: { event: name } },
      { event: "egress.allowed" },
    ]);
    expect(JSON.stringify(lines())).not.toContain("forged");
    expect(failures).toEqual([]);
  });

  it("is cut to size, name and all", async () => {
    await record(event(`log.${"x".repeat(100_000)}`, {}));
    expect(readFileSync(log.path).length).toBeLessThan(64 * 1024);
  });

  it("is misbehaviour when it asks, for nobody answers it", async () => {
    await record({ kind: "message", message: { type: "ask", ask: "q1", data: {} } });
    expect(lines()).toMatchObject([{ event: "egress.misbehaved", data: { ask: "q1" } }]);
  });
});

describe("what becomes of a sidecar", () => {
  it("is told by the keeper", async () => {
    await record({ kind: "died", reason: "egress was ended by SIGKILL", restartInMs: 100 });
    await record({ kind: "failed-restart", reason: "no" });
    await record({ kind: "restarted" });
    await record({ kind: "died", reason: "again", restartInMs: undefined });
    expect(lines()).toMatchObject([
      { event: "egress.died", data: { reason: "egress was ended by SIGKILL", restartInMs: 100 } },
      { event: "egress.failed-restart", data: { reason: "no" } },
      { event: "egress.restarted", data: {} },
      { event: "egress.died", data: { restartInMs: null } },
    ]);
  });
});

describe("I8: a line that cannot be written", () => {
  it("is told before its append rejects, and so is every later one", async () => {
    renameSync(log.path, `${log.path}.moved`);
    await expect(record(event("egress.allowed"))).rejects.toThrow("cannot be written");
    expect(failures).toHaveLength(1);
    await expect(log.append("bottle.ended", {})).rejects.toThrow("cannot be written");
    expect(failures).toHaveLength(2);
  });

  it("is not the caller's mistake in a name or a value", async () => {
    await expect(log.append("log.head", {})).rejects.toThrow(TypeError);
    await expect(log.append("a.b", { value: 1n })).rejects.toThrow(TypeError);
    expect(failures).toEqual([]);
    await log.append("a.b", { value: 1 });
  });
});
