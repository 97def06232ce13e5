/** Full disks and killed keepers, for real (I8, I9). */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { logPath, openLog } from "../../../src/audit/log.ts";
import { verifyLog } from "../../../src/audit/verify.ts";
import { hasWriter, sweepWriterMarks } from "../../../src/audit/writer-mark.ts";
import type { Home } from "../../../src/lib/paths.ts";
import { run } from "../../../src/lib/processes.ts";
import { BOTTLE, temporaryHome } from "../../support/audit-logs.ts";

let home: Home;
let remove: () => void;
let children: ChildProcess[] = [];

beforeEach(() => {
  ({ home, remove } = temporaryHome());
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  remove();
});

const FILL_DISK = new URL("./programs/fill-disk.ts", import.meta.url);
const APPEND_FOREVER = new URL("./programs/append-forever.ts", import.meta.url);

const program = (url: URL): [string, ...string[]] => [
  process.execPath,
  "--import",
  "tsx",
  fileURLToPath(url),
];

/** Starts a keeper-like process; `lines` grows as it prints. */
function appender(): {
  readonly child: ChildProcess;
  readonly lines: string[];
  atLeast(count: number): Promise<void>;
} {
  const [command, ...args] = program(APPEND_FOREVER);
  const child = spawn(command, [...args, home.root, BOTTLE], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines: string[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  });
  return {
    child,
    lines,
    async atLeast(count) {
      while (lines.length < count && child.exitCode === null) await once(child.stdout, "data");
    },
  };
}

describe("when the disk is full", () => {
  it("refuses decisions and keeps what has happened until it is told of room, or gives up and can be resumed", async (ctx) => {
    const disk = join(home.root, "disk");
    mkdirSync(disk);
    const inside = ["unshare", "--user", "--map-root-user", "--mount"] as const;
    const probe = await run([...inside, "mount", "-t", "tmpfs", "-o", "size=128k", "none", disk]).catch(
      String,
    );
    if (typeof probe === "string" || probe.code !== 0) {
      ctx.skip(`cannot mount a small disk here: ${typeof probe === "string" ? probe : probe.stderr.trim()}`);
      return;
    }
    const script = 'disk=$1; shift; mount -t tmpfs -o size=128k none "$disk" && exec "$@" "$disk"';
    const result = await run([...inside, "sh", "-c", script, "sh", disk, ...program(FILL_DISK)]);
    expect([result.code, result.stderr]).toEqual([0, ""]);
    const told = JSON.parse(result.stdout.toString()) as Record<string, unknown>;
    expect(told["acknowledged"]).toBeGreaterThan(20);
    const full = expect.stringContaining("ENOSPC");
    expect(told).toMatchObject({
      failure: full,
      // Each line that found none, and the try in vain.
      lacks: 3,
      freeBlocks: 0,
      whole: [],
      stillFull: [full, full],
      beforeRetry: full,
      retried: "resolved",
      waited: ["resolved"],
      patient: { verdict: "intact", unclosed: 0 },
      events: {
        '"event":"test.happened"': told["acknowledged"],
        '"event":"test.waited"': 100,
        '"event":"test.went-on"': 1,
      },
      lastEvent: '"event":"test.went-on"',
      closed: [full, full],
      resumed: { verdict: "intact", unclosed: 1 },
      readOnly: expect.stringContaining("EROFS"),
    });
  });
});

describe("when the keeper is killed", () => {
  it("has lost no line that was acknowledged, is open before and open-or-cut after, and can be resumed", async () => {
    const writer = appender();
    await writer.atLeast(300);
    const path = logPath(home, BOTTLE);
    expect((await verifyLog(path)).verdict).toBe("open");
    await expect(openLog({ home, bottle: BOTTLE })).rejects.toThrow(`written by process ${writer.child.pid}`);

    writer.child.kill("SIGKILL");
    await once(writer.child, "close");
    const acknowledged = writer.lines.slice(1).map(Number);
    const report = await verifyLog(path);
    expect(report.head?.seq).toBeGreaterThanOrEqual(Math.max(...acknowledged));
    // A write cut short by the kill leaves a torn line; mostly there is none.
    expect(report.problems).toEqual([]);
    expect(report.verdict).toBe(report.tornBytes === 0 ? "open-or-cut" : "torn");

    expect(await hasWriter(home.audit, BOTTLE)).toBe(false);
    await sweepWriterMarks(home.audit);
    expect(readdirSync(home.audit).sort()).toEqual([`${BOTTLE}.jsonl`, "host-key.pem", "host-key.pub"]);

    const log = await openLog({ home, bottle: BOTTLE });
    await log.close();
    expect(await verifyLog(path)).toMatchObject({ verdict: "intact", unclosed: [expect.any(Number)] });
    const seqs = new Set(
      readFileSync(path, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { seq: number }).seq),
    );
    expect(acknowledged.filter((seq) => !seqs.has(seq))).toEqual([]);
  });

  it("makes one key and one log when several processes start at once", async () => {
    const writers = [appender(), appender(), appender()];
    await Promise.all(writers.map((writer) => writer.atLeast(1)));
    const first = writers.map(({ lines }) => lines[0] ?? "");
    const writing = first.filter((line) => line.startsWith("key"));
    expect(writing.length).toBeLessThanOrEqual(1);
    for (const line of first) expect(line).toMatch(/^key 2$|being written by process \d+$/);
    for (const { child } of writers) {
      if (child.exitCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "close");
    }
    const log = await openLog({ home, bottle: BOTTLE });
    await log.close();
    expect((await verifyLog(log.path)).verdict).toBe("intact");
  });
});
