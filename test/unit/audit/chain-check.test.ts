import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createChainCheck } from "../../../src/audit/chain-check.ts";
import { chain, genesis } from "../../../src/audit/entry.ts";
import { HEAD_EVENT, signedHead } from "../../../src/audit/head.ts";
import { fingerprintOf } from "../../../src/audit/host-key.ts";

const BOTTLE = "agent-abc12";
const pair = generateKeyPairSync("ed25519");
const key = { ...pair, fingerprint: fingerprintOf(pair.publicKey) };
const TIME = "2030-01-02T03:04:05.678Z";

/** The shortest log: one event with every kind of character, and the closing head. */
function shortLog(): Buffer {
  const data = { text: '\u0000é\ufffd😀"\\', number: -1.5e-7, list: [null, true] };
  const first = chain({ seq: 1, prev: genesis(BOTTLE), time: TIME, event: "log.opened", data });
  const place = { seq: 2, prev: first.entry.hash, time: TIME };
  const head = chain({ ...place, event: HEAD_EVENT, data: { ...signedHead(key, BOTTLE, true, place) } });
  return Buffer.from(first.line + head.line);
}

/** Good to its end: nothing wrong, nothing torn, and closed. */
function isIntact(bytes: Buffer): boolean {
  const check = createChainCheck(BOTTLE, key);
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    check.take({ bytes: bytes.subarray(start, end), length: end + 1 - start, terminated: true });
    start = end + 1;
  }
  return start === bytes.length && check.state.problemCount === 0 && check.state.closed;
}

describe("the chain", () => {
  const log = shortLog();

  it("is intact as it was written", () => {
    expect(isIntact(log)).toBe(true);
  });

  it("is broken by the flip of any one of its bits", () => {
    const unseen: number[] = [];
    for (let bit = 0; bit < log.length * 8; bit++) {
      const mutated = Buffer.from(log);
      mutated[bit >> 3] = mutated[bit >> 3]! ^ (1 << (bit & 7));
      if (isIntact(mutated)) unseen.push(bit);
    }
    expect(unseen).toEqual([]);
  });

  it("is broken by the loss or the doubling of any one of its bytes", () => {
    const unseen: number[] = [];
    for (let at = 0; at < log.length; at++) {
      if (isIntact(Buffer.concat([log.subarray(0, at), log.subarray(at + 1)]))) unseen.push(at);
      if (isIntact(Buffer.concat([log.subarray(0, at + 1), log.subarray(at)]))) unseen.push(at);
    }
    expect(unseen).toEqual([]);
  });
});
