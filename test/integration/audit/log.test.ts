/** The writer: what it promises while all is well, and what it does when the file is not its own any more. */
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { appendFile, copyFile, readFile, rename, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Entry } from "../../../src/audit/entry.ts";
import { type AuditLog, logPath, openLog } from "../../../src/audit/log.ts";
import { verifyLog } from "../../../src/audit/verify.ts";
import type { Home } from "../../../src/lib/paths.ts";
import { appendMany, BOTTLE, linesOf, temporaryHome, writtenLog } from "../../support/audit-logs.ts";

let home: Home;
let path: string;
let remove: () => void;
let opened: AuditLog[] = [];

beforeEach(() => {
  ({ home, remove } = temporaryHome());
  path = logPath(home, BOTTLE);
});
afterEach(async () => {
  for (const log of opened) await log.close().catch(() => {});
  opened = [];
  remove();
});

async function open(bottle = BOTTLE): Promise<AuditLog> {
  const log = await openLog({ home, bottle });
  opened.push(log);
  return log;
}

const entriesOf = async (): Promise<Entry[]> =>
  linesOf(await readFile(path, "utf8")).map((line) => JSON.parse(line) as Entry);
const eventsOf = async (): Promise<string[]> => (await entriesOf()).map(({ event }) => event);

describe("an audit log", () => {
  it("resolves an append with the line that is on the disk", async () => {
    const log = await open();
    const entry = await log.append("egress.denied", { host: "example.com", path: '/\n\u001b[31m"' });
    expect(entry).toMatchObject({ seq: 2, event: "egress.denied" });
    expect((await entriesOf()).at(-1)).toEqual(entry);
    expect(log.head).toEqual({ seq: 2, hash: entry.hash });
    // A newline in the data ends no line.
    expect(linesOf(await readFile(path, "utf8"))).toHaveLength(2);
  });

  it("is readable by nobody else", async () => {
    await open();
    expect(statSync(home.audit).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(home.audit, "host-key.pem")).mode & 0o777).toBe(0o600);
  });

  it("keeps the order of appends that come at once, and seals every 64 lines", async () => {
    const log = await open();
    await appendMany(log, 1_000);
    await log.close();
    const entries = await entriesOf();
    expect(entries.filter(({ event }) => event === "test.happened").map(({ data }) => data["i"])).toEqual(
      Array.from({ length: 1_000 }, (_, i) => i),
    );
    const heads = entries.filter(({ event }) => event === "log.head");
    expect(heads).toHaveLength(Math.floor(1_001 / 64) + 1);
    expect(heads.map(({ data }) => data["closing"])).toEqual([...Array<boolean>(15).fill(false), true]);
    expect((await verifyLog(path)).verdict).toBe("intact");
  });

  it("is open while its keeper runs, and intact after it closed", async () => {
    const log = await open();
    await log.append("test.happened", {});
    expect((await verifyLog(path)).verdict).toBe("open");
    const [one, two] = [log.close(), log.close()];
    await Promise.all([one, two]);
    const report = await verifyLog(path);
    expect(report.verdict).toBe("intact");
    expect(report.head).toEqual(log.head);
    await expect(log.append("test.happened", {})).rejects.toThrow("is closed");
    expect(readdirSync(home.audit).sort()).toEqual([`${BOTTLE}.jsonl`, "host-key.pem", "host-key.pub"]);
  });

  it("writes what was appended before close, and nothing after", async () => {
    const log = await open();
    const before = Promise.all([log.append("test.first", {}), log.append("test.second", {})]);
    const closed = log.close();
    const after = log.append("test.third", {});
    await expect(after).rejects.toThrow("is closed");
    await Promise.all([before, closed]);
    expect(await eventsOf()).toEqual(["log.opened", "test.first", "test.second", "log.head"]);
  });

  it("leaves its own events to itself, and refuses what is no event, without harm", async () => {
    const log = await open();
    for (const event of ["log.head", "log.opened", "head", "", "A.b", "a.b\n"]) {
      await expect(log.append(event, {})).rejects.toThrow(TypeError);
    }
    await expect(log.append("test.happened", { bad: Number.NaN })).rejects.toThrow(TypeError);
    await expect(openLog({ home, bottle: "../../etc/x-aaaaa" })).rejects.toThrow(TypeError);
    await log.append("test.happened", {});
    await log.close();
    expect(await eventsOf()).toEqual(["log.opened", "test.happened", "log.head"]);
  });

  it("refuses a second writer, in this process or another's place, and lets the next one in afterwards", async () => {
    const log = await open();
    await expect(openLog({ home, bottle: BOTTLE })).rejects.toThrow(`written by process ${process.pid}`);
    await open("other-abc12");
    await log.close();
    const again = await open();
    expect((await entriesOf()).at(-1)).toMatchObject({ event: "log.resumed", data: { closed: true } });
    await again.close();
    expect(await verifyLog(path)).toMatchObject({ verdict: "intact", unclosed: [], lines: 4 });
  });

  it("lets at most one in when many come at once", async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => open()));
    expect(results.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(1);
    for (const log of opened) await log.close();
    await (await open()).close();
    expect((await verifyLog(path)).verdict).toBe("intact");
  });

  it("takes no notice of the mark of a writer that is gone, and removes it", async () => {
    mkdirSync(home.audit, { recursive: true, mode: 0o700 });
    const dead = [
      `.${BOTTLE}.${process.pid}.00000000-1.aaaaaaaaaaaa.writer`,
      `.x-abcde.4194304.0.bbbbbbbbbbbb.writer`,
    ];
    for (const name of dead) await writeFile(join(home.audit, name), "");
    const log = await open();
    for (const name of dead) expect(existsSync(join(home.audit, name))).toBe(false);
    await log.close();
  });
});

describe("a log that can no longer be written", () => {
  async function refusesForEver(log: AuditLog, reason: string): Promise<void> {
    const at = log.head;
    const results = await Promise.allSettled([log.append("test.lost", {}), log.append("test.lost", {})]);
    for (const result of results) {
      expect(result.status).toBe("rejected");
      if (result.status === "rejected") {
        expect(result.reason).toMatchObject({
          name: "UserError",
          hint: expect.stringContaining("BOT_BOTTLE_HOME"),
        });
        expect(String(result.reason)).toContain(reason);
      }
    }
    await expect(log.append("test.lost", {})).rejects.toThrow(reason);
    expect(log.head).toEqual(at);
    await expect(log.close()).rejects.toThrow(reason);
    // The right to write was given back all the same.
    expect(readdirSync(home.audit).filter((name) => name.endsWith(".writer"))).toEqual([]);
  }

  it("refuses every append once its file was moved away", async () => {
    const log = await open();
    await rename(path, `${path}.old`);
    await refusesForEver(log, "ENOENT");
  });

  it("refuses every append once its file was removed, also when another stands in its place", async () => {
    const log = await open();
    await copyFile(path, `${path}.copy`);
    await unlink(path);
    await rename(`${path}.copy`, path);
    await refusesForEver(log, "the file was replaced");
  });

  it("refuses every append once its name is a link to the very file", async () => {
    const log = await open();
    await rename(path, `${path}.old`);
    symlinkSync(`${path}.old`, path);
    await refusesForEver(log, "the file was replaced");
  });

  it("refuses every append once somebody else wrote to it or cut it", async () => {
    const log = await open();
    await log.append("test.happened", {});
    await appendFile(path, "x");
    await refusesForEver(log, "somebody else changed the file");

    const other = await open("other-abc12");
    await other.append("test.happened", {});
    await truncate(other.path, 10);
    await refusesForEver(other, "somebody else changed the file");
  });
});

describe("resuming a log", () => {
  it("continues the chain after a keeper that did not close it, and says so", async () => {
    const whole = await writtenLog(home, 100);
    await writeFile(path, whole.slice(0, -1).join(""));
    const log = await open();
    await log.close();
    const report = await verifyLog(path);
    expect(report).toMatchObject({ verdict: "intact", unclosed: [whole.length], lines: whole.length + 1 });
    expect((await entriesOf()).at(-2)).toMatchObject({ event: "log.resumed", data: { closed: false } });
  });

  it("seals first when the crash fell between the 64th line and its head", async () => {
    const whole = await writtenLog(home, 100);
    await writeFile(path, whole.slice(0, 64).join(""));
    const log = await open();
    await log.close();
    expect((await eventsOf()).slice(64)).toEqual(["log.head", "log.resumed", "log.head"]);
    expect((await verifyLog(path)).verdict).toBe("intact");
  });

  it("cuts off half a line that a crash left, wherever it was cut, and records what it was", async () => {
    const whole = await writtenLog(home, 5);
    const good = whole.slice(0, 4).join("");
    const half = whole[4] ?? "";
    for (let length = 1; length < half.length - 1; length += 17) {
      await writeFile(path, good + half.slice(0, length));
      const log = await open();
      await log.close();
      const entries = await entriesOf();
      expect(entries.map(({ event }) => event).slice(4)).toEqual([
        "log.resumed",
        "log.recovered",
        "log.head",
      ]);
      expect(entries[5]?.data).toMatchObject({ bytes: length, text: half.slice(0, length) });
      expect((await verifyLog(path)).verdict).toBe("intact");
    }
  });

  it("keeps a last line of which only the newline is missing", async () => {
    const whole = await writtenLog(home, 5);
    await writeFile(path, whole.join("").slice(0, -1));
    const log = await open();
    await log.close();
    const entries = await entriesOf();
    expect(linesOf(await readFile(path, "utf8")).slice(0, whole.length)).toEqual(whole);
    expect(entries.slice(whole.length).map(({ event }) => event)).toEqual([
      "log.resumed",
      "log.recovered",
      "log.head",
    ]);
    expect((await verifyLog(path)).verdict).toBe("intact");
  });

  it("bears the zeros that a power failure leaves, and a file that was only just made", async () => {
    const whole = await writtenLog(home, 5);
    await writeFile(path, whole.slice(0, 4).join("") + "\0".repeat(100_000));
    await (await open()).close();
    expect((await entriesOf()).find(({ event }) => event === "log.recovered")?.data).toMatchObject({
      bytes: 100_000,
    });
    expect((await verifyLog(path)).verdict).toBe("intact");

    await writeFile(path, "");
    await (await open()).close();
    expect(await eventsOf()).toEqual(["log.opened", "log.recovered", "log.head"]);
    await writeFile(path, '{"data":{"bo');
    await (await open()).close();
    expect(await eventsOf()).toEqual(["log.opened", "log.recovered", "log.head"]);
    expect((await verifyLog(path)).verdict).toBe("intact");
  });

  it("refuses a log that was altered, names the line, and leaves it as it was", async () => {
    const whole = await writtenLog(home, 100);
    const altered = [
      whole.with(40, (whole[40] ?? "").replace("text of", "TEXT of")),
      whole.filter((_, i) => i !== 40),
      [...whole.slice(0, 40), "garbage\n", ...whole.slice(40)],
      // Complete, and not the next line: no crash makes that.
      [...whole.slice(0, 40), (whole[50] ?? "").trimEnd()],
      [...whole.slice(0, 40), '{"complete":"json"}'],
    ];
    for (const lines of altered) {
      const content = lines.join("");
      await writeFile(path, content);
      await expect(openLog({ home, bottle: BOTTLE })).rejects.toMatchObject({
        name: "UserError",
        message: expect.stringMatching(/is broken at line 41:/),
        hint: expect.stringContaining(`bottle audit verify ${BOTTLE}`),
      });
      expect(await readFile(path, "utf8")).toBe(content);
    }
  });

  it("refuses a link, a folder and a pipe in the log's place", async () => {
    mkdirSync(home.audit, { recursive: true, mode: 0o700 });
    await writeFile(join(home.root, "elsewhere"), "");
    symlinkSync(join(home.root, "elsewhere"), path);
    await expect(openLog({ home, bottle: BOTTLE })).rejects.toThrow("ELOOP");
    mkdirSync(logPath(home, "folder-abc12"));
    await expect(openLog({ home, bottle: "folder-abc12" })).rejects.toThrow("EISDIR");
    expect(readdirSync(home.audit).filter((name) => name.endsWith(".writer"))).toEqual([]);
  });
});
