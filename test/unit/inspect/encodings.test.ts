import { describe, expect, it } from "vitest";
import { mask } from "../../../src/inspect/mask.ts";
import { ENCODERS, type Encoder } from "../../support/encoders.ts";
import { inspector, KNOWN, TOKEN } from "../../support/inspectors.ts";

const AROUND = 'some text: {"a": 1, "value": "';
const BEHIND = '"}\nand some more';

function embedded(value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(AROUND), value, Buffer.from(BEHIND)]);
}

function names(text: Buffer): string[] {
  return [...new Set(inspector.scan(text).map(({ detector }) => detector))].sort();
}

describe("one encoding", () => {
  it.each(ENCODERS.map((encoder) => [encoder.name, encoder] as const))(
    "finds a token in %s",
    (_, encoder) => {
      const text = embedded(encoder.encode(Buffer.from(TOKEN)));
      const [finding, ...more] = inspector.scan(text);
      expect(finding).toMatchObject({ detector: "forge-token", kind: "pattern" });
      expect(more).toEqual([]);
      expect(finding?.through.length).toBe(1);
    },
  );

  it.each(ENCODERS.map((encoder) => [encoder.name, encoder] as const))(
    "finds a known secret in %s",
    (_, encoder) => {
      expect(names(embedded(encoder.encode(Buffer.from(KNOWN))))).toEqual(["deploy-key"]);
    },
  );

  it.each(ENCODERS.map((encoder) => [encoder.name, encoder] as const))(
    "leaves nothing of a token once %s is masked, and frames it exactly",
    (_, encoder) => {
      const value = encoder.encode(Buffer.from(TOKEN));
      const text = embedded(value);
      const findings = inspector.scan(text);
      const masked = mask(text, findings);
      expect(masked).toHaveLength(text.length);
      expect(inspector.scan(masked)).toEqual([]);
      expect(masked.subarray(0, AROUND.length).toString()).toBe(AROUND);
      expect(masked.subarray(-BEHIND.length).toString()).toBe(BEHIND);
      expect(inspector.scan(text)[0]?.fingerprint).toBe(inspector.scan(Buffer.from(TOKEN))[0]?.fingerprint);
    },
  );
});

describe("hex among base64", () => {
  const pairs = (value: string, between: string): string =>
    (Buffer.from(value).toString("hex").match(/../g) ?? []).join(between);

  it.each([" ", "\n", "="])("is found with %j between its digits, however few they are", (between) => {
    for (const value of [TOKEN, `${TOKEN} and some text behind it`]) {
      const text = `QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo${between}${pairs(value, between)}${between}QUJDREVGR0hJSktMTU5P`;
      expect(names(Buffer.from(text))).toEqual(["forge-token"]);
    }
  });
});

describe("two encodings", () => {
  // Behind junk of its own alphabet, base32 is noticed by the ASCII in it; inspector.ts says so.
  const notNoticed = (first: Encoder, second: Encoder): boolean =>
    second.name === "base32 behind junk" && !first.encode(Buffer.from("az")).every((byte) => byte < 0x80);
  const pairs = ENCODERS.flatMap((first) =>
    ENCODERS.map((second): [Encoder, Encoder] => [first, second]),
  ).filter(([first, second]) => !notNoticed(first, second));

  it("finds a token in every pair", () => {
    const missed: string[] = [];
    for (const [first, second] of pairs) {
      const once = first.encode(Buffer.from(TOKEN));
      if (!second.takes(once)) continue;
      if (!names(embedded(second.encode(once))).includes("forge-token"))
        missed.push(`${first.name} in ${second.name}`);
    }
    expect(missed).toEqual([]);
  });

  it("finds a known secret in every pair", () => {
    const missed: string[] = [];
    for (const [first, second] of pairs) {
      const once = first.encode(Buffer.from(KNOWN));
      if (!second.takes(once)) continue;
      if (!names(embedded(second.encode(once))).includes("deploy-key"))
        missed.push(`${first.name} in ${second.name}`);
    }
    expect(missed).toEqual([]);
  });
});

describe("escapes of escapes", () => {
  const escapes = ENCODERS.filter(
    ({ kind, name }) => kind === "text" && /JSON|\\|octal|percent|HTML/.test(name),
  );
  const isFound = (chain: readonly Encoder[]): boolean => {
    let text: Buffer = Buffer.from(KNOWN);
    for (const { takes, encode } of chain) text = takes(text) ? encode(text) : text;
    return names(embedded(text)).includes("deploy-key");
  };

  it("are read in every chain of three", () => {
    const chains = escapes.flatMap((a) => escapes.flatMap((b) => escapes.map((c) => [a, b, c] as const)));
    expect(chains.length).toBeGreaterThan(1_000);
    const missed = chains.filter((chain) => !isFound(chain));
    expect(missed.map((chain) => chain.map(({ name }) => name).join(" > "))).toEqual([]);
  });

  // Of two backslashes that JSON in JSON has, one came out deeper: some of its characters had been escaped once more.
  it.each(["percent, every byte", "HTML hex, with zeros", "JSON \\u, every fourth"])(
    "regression: JSON in JSON in percent is read also if every fourth character of it was escaped, and that in %s",
    (last) => {
      const chain = ["JSON \\u in JSON", "percent, every byte", "JSON \\u, every fourth", last];
      expect(isFound(chain.flatMap((name) => escapes.filter((each) => each.name === name)))).toBe(true);
    },
  );
});

describe("chains as long as is stated, and no longer", () => {
  /** In inspector.ts and docs/egress.md. */
  const STATED = 4;
  const packings = ENCODERS.filter(({ name }) => ["base64", "base32", "hex", "base64url"].includes(name));

  it.each(packings)("$name, and then others", (first) => {
    const chain = Array.from(
      { length: STATED },
      (_, i) => packings[(packings.indexOf(first) + i) % packings.length],
    );
    let value: Buffer = Buffer.from(TOKEN);
    for (const [i, packing] of chain.entries()) {
      value = packing?.encode(value) ?? value;
      expect(names(embedded(value)), `${i + 1} deep`).toEqual(["forge-token"]);
    }
    expect(names(embedded(first.encode(value)))).toEqual([]);
  });
});
