import { createHash, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chain, genesis, isEventName, parseLine } from "../../../src/audit/entry.ts";
import { checkHead, signedHead } from "../../../src/audit/head.ts";
import { fingerprintOf } from "../../../src/audit/host-key.ts";

const FIELDS = {
  seq: 7,
  time: "2030-01-02T03:04:05.678Z",
  event: "egress.denied",
  data: { hash: "x", prev: ',"hash":"' },
  prev: genesis("agent-abc12"),
};

const parse = (text: string) => parseLine(Buffer.from(text));

describe("a line", () => {
  it("is what RFC 8785 makes of its members, and its hash that of the line without it", () => {
    const { entry, line } = chain(FIELDS);
    const without = `{"data":{"hash":"x","prev":",\\"hash\\":\\""},"event":"egress.denied","prev":"${FIELDS.prev}","seq":7,"time":"2030-01-02T03:04:05.678Z"}`;
    const hash = createHash("sha256").update(without).digest("hex");
    expect(entry.hash).toBe(hash);
    expect(line).toBe(
      `${without.replace(`,"prev":"${FIELDS.prev}`, `,"hash":"${hash}","prev":"${FIELDS.prev}`)}\n`,
    );
  });

  it("begins another chain for every bottle", () => {
    expect(genesis("agent-abc12")).toBe(
      createHash("sha256").update("bot-bottle audit log v1\nagent-abc12\n").digest("hex"),
    );
    expect(genesis("agent-abc12")).not.toBe(genesis("agent-abc13"));
  });

  it("is read back as it was written", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (data) => {
        const bounded = JSON.parse(JSON.stringify(data)) as typeof FIELDS.data;
        const { entry, line } = chain({ ...FIELDS, data: bounded });
        expect(parse(line.slice(0, -1))).toEqual({ kind: "entry", entry, hashIsRight: true });
      }),
    );
  });

  it("is refused in any other spelling of the same value", () => {
    const { line } = chain({ ...FIELDS, data: { ...FIELDS.data, char: "é\ufffd" } as typeof FIELDS.data });
    const text = line.slice(0, -1);
    const spellings = [
      ` ${text}`,
      `${text}\r`,
      `\ufeff${text}`,
      text.replace('"seq":7', '"seq":7.0'),
      text.replace('"seq":7', '"seq":8,"seq":7'),
      text.replace("egress", "\\u0065gress"),
      text.replace(/,"seq":7(.*)\}$/, '$1,"seq":7}'),
      text.replace("é", "\\u00e9"),
    ];
    for (const spelling of spellings) {
      expect(spelling).not.toBe(text);
      expect(parse(spelling).kind).toBe("garbage");
    }
    // The decoder must not repair bytes into the character that was hashed.
    const bytes = Buffer.from(text);
    const at = bytes.indexOf(Buffer.from("\ufffd"));
    bytes[at] = 0xff;
    expect(parseLine(bytes).kind).toBe("garbage");
  });

  it("is refused with members missing, added, or of another kind", () => {
    const { entry } = chain(FIELDS);
    const wrong = [
      { ...entry, extra: 1 },
      { ...entry, seq: 0 },
      { ...entry, seq: "7" },
      { ...entry, seq: 1e300 },
      { ...entry, data: [] },
      { ...entry, data: null },
      { ...entry, event: "Egress" },
      { ...entry, time: "yesterday" },
      { ...entry, hash: entry.hash.toUpperCase() },
      { ...entry, prev: "" },
    ];
    for (const value of wrong) expect(parse(JSON.stringify(value))).toMatchObject({ code: "not-an-entry" });
    for (const text of ["", "x", "{", "null", "[]", "7", '"x"', "\0\0\0", "[".repeat(60_000)]) {
      expect(parse(text).kind).toBe("garbage");
    }
    const deep = JSON.stringify(entry).replace('"x"', "[".repeat(20_000) + "]".repeat(20_000));
    expect(parse(deep).kind).toBe("garbage");
  });

  it("has an event whose name is dotted and lower case", () => {
    for (const name of ["egress.denied", "log.head", "a.b-c.d1"]) expect(isEventName(name)).toBe(true);
    for (const name of ["", "egress", "Egress.x", "a..b", ".a", "a.", "a.b\n", `a.${"b".repeat(64)}`]) {
      expect(isEventName(name)).toBe(false);
    }
  });
});

describe("a head", () => {
  const pair = generateKeyPairSync("ed25519");
  const key = { ...pair, fingerprint: fingerprintOf(pair.publicKey) };
  const headEntry = (closing: boolean) => {
    const place = { seq: 65, prev: FIELDS.prev, time: FIELDS.time };
    const data = signedHead(key, "agent-abc12", closing, place);
    return chain({ ...place, event: "log.head", data: { ...data } }).entry;
  };

  it("is good for its own place, bottle and key alone", () => {
    const entry = headEntry(true);
    expect(checkHead(entry, "agent-abc12", key)).toEqual({ kind: "good", closing: true });
    const elsewhere = [
      { ...entry, seq: 66 },
      { ...entry, prev: genesis("agent-abc13") },
      { ...entry, time: "2030-01-02T03:04:05.679Z" },
      { ...entry, data: { ...entry.data, closing: false } },
      { ...entry, data: { ...entry.data, signature: headEntry(false).data["signature"] ?? "" } },
      { ...entry, data: { ...entry.data, signature: "" } },
      { ...entry, data: { ...entry.data, signature: `${String(entry.data["signature"])}=` } },
    ];
    for (const moved of elsewhere) {
      expect(checkHead(moved, "agent-abc12", key)).toMatchObject({ code: "bad-signature" });
    }
    expect(checkHead(entry, "agent-abc13", key)).toMatchObject({ code: "bad-head" });
    expect(checkHead({ ...entry, data: {} }, "agent-abc12", key)).toMatchObject({ code: "bad-head" });
    const other = generateKeyPairSync("ed25519");
    const otherKey = { ...other, fingerprint: fingerprintOf(other.publicKey) };
    expect(checkHead(entry, "agent-abc12", otherKey)).toMatchObject({ code: "other-key" });
    // Calling another key by this one's name does not help.
    expect(checkHead(entry, "agent-abc12", { ...otherKey, fingerprint: key.fingerprint })).toMatchObject({
      code: "bad-signature",
    });
  });
});
