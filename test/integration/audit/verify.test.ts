/** Whatever is done to a closed log afterwards is found (I8). */
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EventData } from "../../../src/audit/bounded-data.ts";
import { chain, type Entry, genesis } from "../../../src/audit/entry.ts";
import { type VerifyOptions, type VerifyReport, verifyLog } from "../../../src/audit/verify.ts";
import { BOTTLE, temporaryHome, writtenLog } from "../../support/audit-logs.ts";

const { home, remove } = temporaryHome();
afterAll(remove);

/** A closed log of 1 + 150 events + 3 heads: sealed in the middle twice. */
let lines: string[] = [];
let otherLines: string[] = [];
let publicKey = "";

beforeAll(async () => {
  lines = await writtenLog(home, 150);
  otherLines = await writtenLog(home, 150, "agent-abc13");
  publicKey = await readFile(join(home.audit, "host-key.pub"), "utf8");
});

/** Verifies `content` under the bottle's name, in a folder where no keeper runs. */
async function verified(content: string | Buffer, options: VerifyOptions = {}): Promise<VerifyReport> {
  const dir = join(home.root, "copies");
  mkdirSync(dir, { recursive: true });
  const path = join(dir, `${BOTTLE}.jsonl`);
  await writeFile(path, content);
  return verifyLog(path, { publicKey, ...options });
}

async function verifiedLines(changed: readonly string[], options: VerifyOptions = {}): Promise<VerifyReport> {
  return verified(changed.join(""), options);
}

const codes = (report: VerifyReport): unknown[] => report.problems.map(({ line, code }) => [line, code]);

function without<T>(items: readonly T[], index: number): T[] {
  return items.filter((_, i) => i !== index);
}

const parsed = (line: string): Entry => JSON.parse(line) as Entry;

/** What somebody without the key can do: make every hash and link right again from `from` on. */
function rechained(changed: readonly string[], from = 0): string[] {
  const out: string[] = [];
  let prev = from === 0 ? genesis(BOTTLE) : parsed(changed[from - 1]!).hash;
  changed.forEach((line, i) => {
    if (i < from) {
      out.push(line);
      return;
    }
    const { hash: _, ...fields } = parsed(line);
    const made = chain({ ...fields, seq: i + 1, prev });
    prev = made.entry.hash;
    out.push(made.line);
  });
  return out;
}

describe("verifying a log", () => {
  it("finds one that was left alone intact, and says what it checked", async () => {
    const report = await verifyLog(join(home.audit, `${BOTTLE}.jsonl`));
    const last = parsed(lines.at(-1)!);
    expect(report).toEqual({
      path: join(home.audit, `${BOTTLE}.jsonl`),
      bottle: BOTTLE,
      verdict: "intact",
      lines: 154,
      head: { seq: 154, hash: last.hash },
      sealed: 154,
      key: last.data["key"],
      tornBytes: 0,
      unclosed: [],
      problems: [],
      problemCount: 0,
    });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    const heads = lines.map(parsed).filter((entry) => entry.event === "log.head");
    expect(heads.map(({ seq }) => seq)).toEqual([65, 130, 154]);
  });

  it("names a changed line, and only it", async () => {
    const changed = lines.with(40, lines[40]!.replace('"x"', '"y"').replace("text of", "TEXT of"));
    const report = await verifiedLines(changed);
    expect([report.verdict, codes(report)]).toEqual(["broken", [[41, "changed"]]]);
    expect(report.sealed).toBe(0);
  });

  it("names a removed line by the number that is missing", async () => {
    const report = await verifiedLines(without(lines, 40));
    expect([report.verdict, codes(report)]).toEqual(["broken", [[41, "missing"]]]);
    expect(report.problems[0]?.detail).toBe("line number 41 is missing here");
    expect((await verifiedLines(lines.slice(10))).problems[0]?.detail).toBe(
      "line numbers 1 to 10 are missing here",
    );
  });

  it("names lines that changed places, and one that stands twice", async () => {
    const swapped = [...lines.slice(0, 40), lines[41]!, lines[40]!, ...lines.slice(42)];
    expect(codes(await verifiedLines(swapped))).toEqual([
      [41, "missing"],
      [42, "repeated"],
    ]);
    const twice = [...lines.slice(0, 41), lines[40]!, ...lines.slice(41)];
    expect(codes(await verifiedLines(twice))).toEqual([[42, "repeated"]]);
  });

  it("says of a log cut anywhere that it is open or cut", async () => {
    for (const keep of [153, 131, 130, 129, 66, 65, 64, 2, 1]) {
      const report = await verifiedLines(lines.slice(0, keep));
      expect([keep, report.verdict, report.problemCount]).toEqual([keep, "open-or-cut", 0]);
      expect(report.sealed).toBe(keep >= 130 ? 130 : keep >= 65 ? 65 : 0);
    }
    expect(codes(await verified(""))).toEqual([[1, "empty"]]);
  });

  it("says of a last line without its end that it is torn, and that all before it is in its place", async () => {
    const whole = Buffer.from(lines.join(""));
    const last = lines.at(-1)!;
    for (const cut of [1, 2, 30, last.length - 1]) {
      const report = await verified(whole.subarray(0, whole.length - cut));
      expect([cut, report]).toEqual([
        cut,
        expect.objectContaining({
          verdict: "torn",
          lines: 153,
          head: { seq: 153, hash: parsed(lines[152]!).hash },
          sealed: 130,
          tornBytes: last.length - cut,
          problems: [],
        }),
      ]);
    }
  });

  it.each([
    ["the beginning of a line", '{"data":{"clo'],
    ["the zeros that a power failure leaves", "\0".repeat(100_000)],
    ["a line and zeros", `${'{"data":{}'}${"\0".repeat(100)}`],
  ])("says the same of %s behind an orderly end", async (_what, torn) => {
    const report = await verifiedLines([...lines, torn]);
    expect(report).toMatchObject({
      verdict: "torn",
      lines: 154,
      sealed: 154,
      tornBytes: torn.length,
      problemCount: 0,
    });
  });

  it("takes nothing that is whole for torn", async () => {
    const line = (at: number): string => lines[at]!.trimEnd();
    for (const [content, problem] of [
      [
        [...lines, "{}"],
        [155, "not-an-entry"],
      ],
      [
        [...lines, '"text"'],
        [155, "not-an-entry"],
      ],
      [
        [...lines, line(40)],
        [155, "repeated"],
      ],
      [
        [...lines.slice(0, 40), line(50)],
        [41, "missing"],
      ],
      [lines.with(-1, line(153).replace('"bottle":"agent', '"bottle":"Agent')), [154, "changed"]],
    ] as const) {
      const report = await verifiedLines(content);
      expect([report.verdict, codes(report)[0], report.tornBytes]).toEqual(["broken", problem, 0]);
    }
  });

  it("is not led to overlook anything by a torn line", async () => {
    const torn = lines.at(-1)!.slice(0, 20);
    const changed = lines.with(40, lines[40]!.replace("text of", "TEXT of")).with(-1, torn);
    expect(await verifiedLines(changed)).toMatchObject({ verdict: "broken", problemCount: 1, tornBytes: 20 });
    const known = { knownHead: parsed(lines.at(-1)!).hash };
    expect(codes(await verifiedLines(lines.with(-1, torn), known))).toEqual([[154, "known-head"]]);
    expect(codes(await verified(torn))).toEqual([[1, "empty"]]);
  });

  it("finds a cut back to an earlier orderly end when a later head is known", async () => {
    for (const line of [lines.at(-1)!, lines[0]!]) {
      expect((await verifiedLines(lines, { knownHead: parsed(line).hash })).verdict).toBe("intact");
    }
    const later = await verifiedLines(lines, { knownHead: "0".repeat(64) });
    expect([later.verdict, codes(later)]).toEqual(["broken", [[155, "known-head"]]]);
  });

  it("finds lines of another bottle, and another bottle's log under this name", async () => {
    const mixed = lines.with(40, otherLines[40]!);
    expect(codes(await verifiedLines(mixed))).toEqual([
      [41, "not-chained"],
      [42, "not-chained"],
    ]);
    const report = await verifiedLines(otherLines);
    expect(codes(report).slice(0, 2)).toEqual([
      [1, "another-bottle"],
      [65, "bad-head"],
    ]);
  });

  it("finds a history that was rewritten without the key, hashes and all", async () => {
    const edited = lines.with(40, lines[40]!.replace("text of", "TEXT of"));
    expect(codes(await verifiedLines(rechained(edited)))).toEqual([
      [65, "bad-signature"],
      [130, "bad-signature"],
      [154, "bad-signature"],
    ]);
    expect(codes(await verifiedLines(rechained(without(lines, 40)))).at(0)).toEqual([64, "bad-signature"]);
  });

  it("finds a rewritten history whose heads were left out", async () => {
    const headless = lines.filter((line) => !line.includes('"event":"log.head"'));
    const report = await verifiedLines(rechained(headless));
    expect([report.verdict, codes(report)]).toEqual([
      "broken",
      [
        [65, "missing-head"],
        [130, "missing-head"],
      ],
    ]);
    // Up to 64 lines behind the last head could be replaced: never under the verdict intact.
    const tail = rechained(lines.slice(0, 140).with(135, lines[135]!.replace("text of", "TEXT of")), 135);
    expect((await verifiedLines(tail)).verdict).toBe("open-or-cut");
  });

  it("finds a history sealed with another key", async () => {
    const own = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" });
    const report = await verifiedLines(lines, { publicKey: String(own) });
    expect(codes(report)).toEqual([
      [65, "other-key"],
      [130, "other-key"],
      [154, "other-key"],
    ]);
  });

  it("finds lines added behind the closing head", async () => {
    const added = chain({
      seq: 155,
      prev: parsed(lines.at(-1)!).hash,
      time: "2030-01-01T00:00:00.000Z",
      event: "test.happened",
      data: {},
    });
    const report = await verifiedLines([...lines, added.line]);
    expect([report.verdict, codes(report)]).toEqual(["broken", [[155, "after-close"]]]);
  });

  it("bears garbage, endless lines and a foreign file", async () => {
    const garbage = [
      "not json\n",
      "\n",
      "{}\n",
      "\0\0\0\n",
      `${"[".repeat(100_000)}\n`,
      `"${"x".repeat(3_000_000)}"\n`,
    ];
    for (const line of garbage) {
      const report = await verifiedLines([...lines.slice(0, 40), line, ...lines.slice(40)]);
      expect(report.problems.map((problem) => problem.line)).toEqual([41]);
      expect(report.lines).toBe(155);
    }
    const foreign = await verified(Buffer.alloc(1_000_000, "some text\n"));
    expect([foreign.verdict, foreign.problems.length, foreign.problemCount]).toEqual([
      "broken",
      100,
      100_000,
    ]);
    const endless = await verified(Buffer.alloc(20_000_000, "x"));
    expect([endless.verdict, codes(endless), endless.tornBytes]).toEqual([
      "broken",
      [[1, "empty"]],
      20_000_000,
    ]);
  });

  it("refuses what it cannot read, naming the fix", async () => {
    await expect(verifyLog(join(home.audit, "nobody-zzzzz.jsonl"))).rejects.toMatchObject({
      name: "UserError",
    });
    await expect(verifyLog("/dev/null", { bottle: BOTTLE, publicKey })).rejects.toThrow("is not a file");
    await expect(verifyLog("/etc/hostname", { publicKey })).rejects.toThrow("not named after a bottle");
    await expect(verified("", { publicKey: "rubbish" })).rejects.toThrow("not an ed25519 key");
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({
      type: "spki",
      format: "pem",
    });
    await expect(verified("", { publicKey: String(rsa) })).rejects.toThrow("not an ed25519 key");
    await expect(verifyLog(join(home.root, "copies", `${BOTTLE}.jsonl`))).rejects.toThrow("host-key.pub");
  });
});

describe("any mutation of a closed log is found", () => {
  const notIntact = async (content: string | Buffer): Promise<void> => {
    expect((await verified(content)).verdict).not.toBe("intact");
  };

  it("any single bit", async () => {
    const whole = Buffer.from(lines.join(""));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length * 8 - 1), async (bit) => {
        const mutated = Buffer.from(whole);
        mutated[bit >> 3] = mutated[bit >> 3]! ^ (1 << (bit & 7));
        await notIntact(mutated);
      }),
      { numRuns: 150 },
    );
  });

  it("any bytes removed, inserted or replaced", async () => {
    const whole = Buffer.from(lines.join(""));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length),
        fc.nat(2_000),
        fc.uint8Array({ maxLength: 200 }),
        async (start, removed, inserted) => {
          const mutated = Buffer.concat([
            whole.subarray(0, start),
            inserted,
            whole.subarray(start + removed),
          ]);
          fc.pre(!mutated.equals(whole));
          await notIntact(mutated);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("any lines removed, repeated, moved or brought in from another log", async () => {
    const anyLine = fc.nat(lines.length - 1);
    const edit = fc.oneof(
      fc.record({ kind: fc.constant("remove" as const), from: anyLine, to: anyLine }),
      fc.record({ kind: fc.constant("repeat" as const), from: anyLine, to: anyLine }),
      fc.record({ kind: fc.constant("move" as const), from: anyLine, to: anyLine }),
      fc.record({ kind: fc.constant("bring in" as const), from: anyLine, to: anyLine }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        let changed = [...lines];
        for (const { kind, from, to } of edits) {
          const line = changed[from] ?? "";
          if (kind === "remove") changed = without(changed, from);
          else if (kind === "repeat") changed.splice(to, 0, line);
          else if (kind === "bring in") changed[to] = otherLines[from]!;
          else {
            changed = without(changed, from);
            changed.splice(to, 0, line);
          }
        }
        fc.pre(changed.join("") !== lines.join(""));
        await notIntact(changed.join(""));
      }),
      { numRuns: 150 },
    );
  });

  it("any event edited by somebody who makes all hashes right again", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(lines.length - 1), fc.jsonValue(), async (index, value) => {
        const entry = parsed(lines[index]!);
        const data = { ...entry.data, added: value } as EventData;
        const edited = lines.with(
          index,
          JSON.stringify({ ...entry, data: JSON.parse(JSON.stringify(data)) }),
        );
        await notIntact(rechained(edited, index).join(""));
      }),
      { numRuns: 100 },
    );
  });
});
