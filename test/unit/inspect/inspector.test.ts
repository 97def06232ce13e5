import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/inspect/finding.ts";
import { BLOCK, compileInspector, type Inspector, LOOK_AHEAD } from "../../../src/inspect/inspector.ts";
import { MIN_KNOWN, PIECE } from "../../../src/inspect/known-secret.ts";
import { Ledger } from "../../../src/inspect/ledger.ts";
import { compileRules } from "../../../src/inspect/own-rules.ts";
import { inspected } from "../../support/inspected.ts";
import { CANARY, FORGE, inspector, KNOWN, OPTIONS, TOKEN } from "../../support/inspectors.ts";
import { memoryInUse } from "../../support/memory.ts";
import { random } from "../../support/random.ts";

function names(text: string | Buffer, by: Inspector = inspector): string[] {
  return by.scan(Buffer.from(text)).map(({ detector }) => detector);
}

/** What a stream finds, with offsets as a scan of the whole has them. */
function streamed(text: Buffer, cuts: readonly number[]): { findings: Finding[]; bytes: Buffer } {
  const stream = inspector.stream();
  const findings: Finding[] = [];
  const released: Buffer[] = [];
  let size = 0;
  const take = ({ bytes, findings: found }: ReturnType<typeof stream.end>): void => {
    findings.push(
      ...found.map((finding) => ({ ...finding, start: finding.start + size, end: finding.end + size })),
    );
    for (const { end } of found) expect(end).toBeLessThanOrEqual(bytes.length);
    released.push(Buffer.from(bytes));
    size += bytes.length;
  };
  let last = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    take(stream.push(text.subarray(last, cut)));
    last = cut;
  }
  take(stream.push(text.subarray(last)));
  take(stream.end());
  return { findings, bytes: Buffer.concat(released) };
}

/** Source code of sorts: every byte printable, no two lines alike. */
function filler(length: number, seed: number): Buffer {
  const next = random(seed);
  const words = [
    "const",
    "return",
    "value",
    "=>",
    "{",
    "}",
    "(x)",
    "'text'",
    "0x1f",
    "\n",
    "\t",
    "// note",
    "é",
    "%d",
  ];
  let text = "";
  while (text.length < length) text += `${words[Math.floor(next() * words.length)]} `;
  return Buffer.from(text).subarray(0, length);
}

describe("scan", () => {
  it("finds nothing in nothing", () => {
    expect(names("")).toEqual([]);
    expect(names("x")).toEqual([]);
  });

  it("says where, and what it was, but never the value", () => {
    const text = Buffer.from(`token ${TOKEN}, and ${KNOWN}`);
    const findings = inspector.scan(text);
    expect(findings.map(({ start, end }) => text.subarray(start, end).toString())).toEqual([TOKEN, KNOWN]);
    expect(findings).toMatchObject([
      { kind: "pattern", detector: "forge-token", through: [] },
      { kind: "known", detector: "deploy-key", through: [] },
    ]);
    expect(JSON.stringify(findings)).not.toContain(TOKEN.slice(4, 20));
    expect(findings[0]?.fingerprint).toMatch(/^[0-9a-f]{16}$/);
    expect(findings[0]?.fingerprint).not.toBe(findings[1]?.fingerprint);
  });

  it("marks a value differently under another key", () => {
    const other = compileInspector({ ...OPTIONS, fingerprintKey: Buffer.alloc(32, 8) });
    expect(other.scan(Buffer.from(TOKEN))[0]?.fingerprint).not.toBe(
      inspector.scan(Buffer.from(TOKEN))[0]?.fingerprint,
    );
  });

  it("reports a canary as one", () => {
    expect(inspector.scan(Buffer.from(`x=${CANARY}`))).toMatchObject([{ kind: "canary", detector: "decoy" }]);
  });

  it("finds a value at every place of a text", () => {
    const missed: number[] = [];
    for (let at = 0; at < 80; at++)
      if (names(" ".repeat(at) + TOKEN + ".".repeat(80 - at)).length !== 1) missed.push(at);
    expect(missed).toEqual([]);
  });

  it.each(["a", "A", "AQ", "0", "ACGT", "deadbeef", "=-", "\0", "é", "\\u0041"])(
    "takes much of %s for what it is",
    (unit) => {
      expect(names(unit.repeat(40_000))).toEqual([]);
      expect(names(`${unit.repeat(4_000)} ${TOKEN} ${unit.repeat(4_000)}`)).toEqual(["forge-token"]);
    },
  );

  it("regression: finds JSON in JSON whose backslashes were encoded twice, each in another way", () => {
    const units = [...`forge: ${TOKEN}.`].map((letter) => letter.charCodeAt(0).toString(16).padStart(4, "0"));
    const inner = units.map((unit) => `\\\\u${unit}`).join("");
    const percent = [...inner].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join("");
    const outer = [...percent].map((letter, i) =>
      i % 4 === 0 ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}` : letter,
    );
    for (const text of [percent, outer.join("")])
      expect(inspector.scan(Buffer.from(text)).map(({ detector }) => detector)).toContain("forge-token");
  });

  it("compares keywords without case only where the detector says so", () => {
    const loud = TOKEN.replace("ghp", "GHP");
    expect(names(loud)).toEqual([]);
    const lax = compileInspector({ ...OPTIONS, detectors: [{ ...FORGE, ignoreCase: true }] });
    expect(names(loud, lax)).toEqual(["forge-token"]);
  });

  it("finds a match that begins before its keyword, and reports the group named secret", () => {
    const by = compileInspector({
      ...OPTIONS,
      detectors: [
        {
          ...FORGE,
          trigger: { kind: "keyword", keywords: ["mid-"], before: 6 },
          pattern: "(?<![a-z])[a-f]{2,6}mid-(?<secret>[0-9]{8})",
        },
      ],
    });
    const text = Buffer.from("x abcdefmid-12345678 y");
    expect(by.scan(text).map(({ start, end }) => text.subarray(start, end).toString())).toEqual(["12345678"]);
    expect(by.scan(Buffer.from("zabmid-12345678"))).toEqual([]);
  });

  it("asks a detector's check and its entropy", () => {
    const by = compileInspector({
      ...OPTIONS,
      detectors: [{ ...FORGE, minEntropy: 3, check: (secret) => secret.endsWith("i") }],
    });
    expect(names(TOKEN, by)).toEqual(["forge-token"]);
    expect(names(`${TOKEN.slice(0, -1)}j`, by)).toEqual([]);
    expect(names(`ghp_${"a".repeat(35)}i`, by)).toEqual([]);
  });

  it("refuses a detector whose pattern is not bounded", () => {
    for (const pattern of ["ghp_[a-z]+", "ghp_.*", "ghp_[a-z]{3,}", "(?<=ab)ghp_", "ghp_(a)\\1"])
      expect(
        () => names(TOKEN, compileInspector({ ...OPTIONS, detectors: [{ ...FORGE, pattern }] })),
        pattern,
      ).toThrow(/must not have/);
  });

  it("gives up loudly, never silently, on a text made of secrets", () => {
    const next = random(5);
    const fake = (): string =>
      Array.from({ length: 36 }, () => Math.floor(next() * 36).toString(36)).join("");
    const text = Buffer.from(Array.from({ length: 3000 }, () => `ghp_${fake()}`).join(" "));
    const findings = inspector.scan(text);
    expect(findings).toContainEqual(
      expect.objectContaining({ detector: "too-many-secrets", start: 0, end: text.length }),
    );
    expect(findings.length).toBeLessThan(300);
  });
});

describe("what a text may cost", () => {
  const whole = (text: string, detector: string): object => ({ detector, covered: text });

  it("is not spent on a text of nothing but the beginnings of values, which is told as one", () => {
    const begins = "host=é".repeat(30_000);
    expect(inspected(begins)).toEqual([whole(begins, "too-many-near-misses")]);
  });

  it("is not spent on hundreds of different values that look right and prove wrong", () => {
    const wrong = Array.from({ length: 4000 }, (_, i) => `ghp_${String(i).padStart(36, "0")}`).join(" ");
    expect(inspected(wrong)).toEqual([whole(wrong, "too-many-near-misses")]);
  });

  it("is bounded: what wants more decoding is itself a finding", () => {
    const ledger = new Ledger();
    ledger.open(1000);
    let bytes = 0;
    while (ledger.afford(100) && bytes < 1e6) bytes += 100;
    expect(bytes).toBeLessThan(40_000);
    expect(ledger.close()).toMatchObject([{ detector: "too-much-encoding", start: 0, end: 1000 }]);
    ledger.open(1000);
    expect(ledger.afford(100)).toBe(true);
  });

  it("covers as much as lists of cursors and the longest changelogs want", () => {
    const cursor = (i: number): string =>
      Buffer.from(JSON.stringify({ id: i, after: true })).toString("base64");
    const edges = Array.from({ length: 4000 }, (_, i) => ({ cursor: cursor(i), node: { id: i } }));
    expect(inspected(JSON.stringify({ edges }))).toEqual([]);
    const links = Array.from(
      { length: 4000 },
      (_, i) => `[\`${(i * 7919 + 0xabcdef).toString(16)}\`] token: fix (#${i})`,
    );
    expect(inspected(links.join("\n"))).toEqual([]);
  });
});

describe("known secrets", () => {
  it(`finds any ${PIECE} neighbouring bytes, at any place of a text`, () => {
    const missed: string[] = [];
    for (let from = 0; from + PIECE <= KNOWN.length; from++)
      for (let at = 0; at < 4; at++) {
        const text = `${".".repeat(at)}${KNOWN.slice(from, from + PIECE)}!`;
        if (!names(text).includes("deploy-key")) missed.push(`${from}+${at}`);
      }
    expect(missed).toEqual([]);
  });

  it("finds any piece within base64, base32 and hex", () => {
    const missed: string[] = [];
    for (let from = 0; from + PIECE <= KNOWN.length; from++)
      for (const encoding of ["base64", "base64url", "hex"] as const)
        for (let at = 0; at < 4; at++) {
          const text = Buffer.from(`${"{".repeat(at)}${KNOWN.slice(from, from + PIECE)}}`).toString(encoding);
          if (!names(text).includes("deploy-key")) missed.push(`${from}+${at} ${encoding}`);
        }
    expect(missed).toEqual([]);
  });

  it("finds any piece in hex with something between its pairs", () => {
    const missed: string[] = [];
    for (let from = 0; from + PIECE <= KNOWN.length; from++)
      for (const between of [" ", ":", ", 0x"]) {
        const pairs =
          Buffer.from(KNOWN.slice(from, from + PIECE))
            .toString("hex")
            .match(/../g) ?? [];
        if (!names(`(${pairs.join(between)})`).includes("deploy-key")) missed.push(`${from} ${between}`);
      }
    expect(missed).toEqual([]);
  });

  it("does not take a shorter or an ordinary piece for the value", () => {
    expect(names(KNOWN.slice(0, PIECE - 1))).toEqual([]);
    const url = compileInspector({
      ...OPTIONS,
      known: [
        { name: "endpoint", kind: "known", value: "https://api.internal.example.com/v1/hooks/Zq81Lm0xVt6R" },
      ],
    });
    expect(names("see https://api.internal.example.com/v1/status", url)).toEqual([]);
    expect(names("see https://api.internal.example.com/v1/hooks/Zq81Lm0xVt6R", url)).toEqual(["endpoint"]);
  });

  it("does not take the header that all tokens share for one of them", () => {
    const header = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");
    const body = Buffer.from('{"sub":"1234567890","name":"Jo Doe"}').toString("base64url");
    const by = compileInspector({
      ...OPTIONS,
      known: [
        {
          name: "session",
          kind: "known",
          value: `${header}.${body}.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJVadQssw5c`,
        },
      ],
    });
    expect(names(`${header}.${body}.x`, by)).toEqual([]);
    expect(names("x SflKxwRJSMeKKF2QT4 y", by)).toEqual(["session"]);
  });

  it.each([
    ["a short one", "hunter2!"],
    ["one with quotes and line ends", 'pa"ss\\wo\nrd & <more>'],
    ["one beyond ASCII", "pässwörd-✓-ключ"],
    ["bytes", Buffer.from("00ff10ee20dd30cc40bb50aa60997088", "hex")],
  ])("finds %s in every direct encoding", (_, value) => {
    const by = compileInspector({ ...OPTIONS, known: [{ name: "it", kind: "known", value }] });
    const bytes = Buffer.from(value as string);
    const text = bytes.toString();
    const around = Buffer.concat([Buffer.from("{"), bytes, Buffer.from("}")]);
    const forms: Record<string, string | Buffer> = {
      plain: around,
      base64: bytes.toString("base64"),
      "base64 at 1": around.toString("base64"),
      "base64url at 2": Buffer.concat([Buffer.from("<"), around]).toString("base64url"),
      hex: around.toString("hex"),
      HEX: around.toString("hex").toUpperCase(),
      percent: [...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
      ...(typeof value === "string" && {
        json: JSON.stringify({ value: text }),
        "json in json": JSON.stringify(JSON.stringify({ value: text })),
        html: text.replace(
          /[&<>"]/g,
          (mark) => `&${{ "&": "amp", "<": "lt", ">": "gt", '"': "quot" }[mark]};`,
        ),
        form: new URLSearchParams({ value: text }).toString().replaceAll("+", "%20"),
      }),
    };
    const missed = Object.entries(forms).filter(
      ([, form]) => !names(Buffer.from(form as string), by).includes("it"),
    );
    expect(missed).toEqual([]);
  });

  it("refuses one that is too short to be told from text, by name", () => {
    const known = [{ name: "PIN", kind: "known", value: "1".repeat(MIN_KNOWN - 1) } as const];
    expect(() => compileInspector({ ...OPTIONS, known })).toThrow(/PIN has 7 bytes/);
  });
});

describe("operators' rules", () => {
  it("finds them plainly and encoded", async () => {
    const rules = await compileRules([{ id: "ticket", pattern: "PROJ-[0-9]{4,}" }]);
    const by = compileInspector({ ...OPTIONS, rules });
    const text = Buffer.from(`see PROJ-12345, ${Buffer.from("about PROJ-67890 here").toString("base64")}`);
    expect(by.scan(text)).toMatchObject([
      { kind: "rule", detector: "ticket", start: 4, end: 14, through: [] },
      { kind: "rule", detector: "ticket", through: ["base64"] },
    ]);
  });

  it("runs a pattern that would take others years", async () => {
    const rules = await compileRules([{ id: "evil", pattern: "(a+)+$x" }]);
    expect(names("a".repeat(50_000), compileInspector({ ...OPTIONS, rules }))).toEqual([]);
  });

  it.each(["(", "a*", "(?=x)y"])("refuses %s by the rule's name", async (pattern) => {
    await expect(compileRules([{ id: "mine", pattern }])).rejects.toThrow(/The rule mine cannot be used/);
  });
});

describe("stream", () => {
  it("finds for any pieces what a scan of the whole finds, and releases every byte", {
    timeout: 60_000,
  }, () => {
    const pieces = fc.oneof(
      fc.constant(Buffer.from(TOKEN)),
      fc.constant(Buffer.from(Buffer.from(`{"k":"${TOKEN}"}`).toString("base64"))),
      fc.constant(Buffer.from(encodeURIComponent(`é ${KNOWN}`))),
      fc.integer({ min: 1, max: 120_000 }).map((size) => filler(size, size)),
    );
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 9 }),
        fc.array(fc.nat(), { maxLength: 9 }),
        (parts, places) => {
          const text = Buffer.concat(parts);
          const cuts = places.map((place) => (text.length === 0 ? 0 : place % text.length));
          const { findings, bytes } = streamed(text, cuts);
          expect(bytes.equals(text)).toBe(true);
          expect(findings).toEqual(inspector.scan(text));
        },
      ),
      { numRuns: 25 },
    );
  });

  it("finds a value across every border, plain and encoded", { timeout: 60_000 }, () => {
    const value = Buffer.from(`"${TOKEN}"`);
    const forms = [
      value,
      Buffer.from(`"${value.toString("base64")}"`),
      Buffer.from(`"${value.toString("hex")}"`),
    ];
    const around = filler(2 * BLOCK + LOOK_AHEAD + 1000, 3);
    const missed: number[] = [];
    for (const border of [BLOCK, BLOCK + LOOK_AHEAD, 2 * BLOCK])
      for (const form of forms)
        for (let shift = 0; shift <= form.length; shift += 29) {
          const text = Buffer.from(around);
          form.copy(text, border - shift);
          const found = inspector.scan(text);
          const start = found[0]?.start ?? -1;
          if (found.length !== 1 || start < border - shift || start > border - shift + 4)
            missed.push(border - shift);
        }
    expect(missed).toEqual([]);
  });

  it("holds no more than a block, whatever comes", () => {
    const stream = inspector.stream();
    let held = 0;
    const chunk = filler(10_000, 1);
    for (let i = 0; i < 200; i++) {
      held += chunk.length;
      held -= stream.push(chunk).bytes.length;
      expect(held).toBeLessThanOrEqual(BLOCK + LOOK_AHEAD + chunk.length);
    }
    expect(stream.end().bytes).toHaveLength(held);
  });

  it("holds no more of what comes byte by byte", () => {
    const stream = inspector.stream();
    const text = filler(BLOCK, 1);
    const before = memoryInUse();
    for (const byte of text) stream.push(Buffer.of(byte));
    expect(memoryInUse() - before).toBeLessThan(4 * BLOCK);
    expect(stream.end().bytes.equals(text)).toBe(true);
  });

  it("does not mind that the caller uses its buffer again", () => {
    const stream = inspector.stream();
    const chunk = Buffer.from(`key=${TOKEN}`);
    stream.push(chunk);
    chunk.fill(0);
    expect(stream.end().findings).toHaveLength(1);
  });
});
