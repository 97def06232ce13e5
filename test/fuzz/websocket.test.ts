/** WebSocket messages, cut into any frames and any chunks: read as they were sent, or refused, and never anything else. */
import { describe, expect, it } from "vitest";
import { FrameFault, framesWith, MessageReader } from "../../src/sidecars/egress/inspection/frames.ts";
import { fuzzRun, LONGER_SUITE_MS } from "../support/fuzz-run.ts";
import { dice } from "../support/random.ts";

const MAX_BYTES = 100_000;
const { seed, milliseconds, timeout } = fuzzRun("websocket", LONGER_SUITE_MS);
const { below } = dice(seed);

interface Sent {
  readonly payload: Buffer;
  readonly bytes: Buffer;
}

function frame(opcode: number, fin: boolean, payload: Buffer, masked: boolean): Buffer {
  const length = payload.length;
  // Also longer than need be, which the standard forbids and servers take.
  const form = length > 65_535 || below(10) === 0 ? 127 : length > 125 || below(10) === 0 ? 126 : length;
  const head = Buffer.alloc(form === 127 ? 10 : form === 126 ? 4 : 2);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (masked ? 0x80 : 0) | form;
  if (form === 127) head.writeBigUInt64BE(BigInt(length), 2);
  if (form === 126) head.writeUInt16BE(length, 2);
  if (!masked) return Buffer.concat([head, payload]);
  const key = Buffer.from([below(256), below(256), below(256), below(256)]);
  return Buffer.concat([head, key, payload.map((byte, i) => byte ^ (key[i & 3] ?? 0))]);
}

function message(masked: boolean): Sent {
  const payload = Buffer.alloc(below(3) === 0 ? below(MAX_BYTES) : below(200), String(below(1e9)));
  const parts: Buffer[] = [];
  for (let at = 0; at < payload.length || parts.length === 0; ) {
    const end = below(2) === 0 ? payload.length : Math.min(payload.length, at + 1 + below(2_000));
    const isLast = end >= payload.length;
    parts.push(
      frame(at === 0 && parts.length === 0 ? 1 + below(2) : 0, isLast, payload.subarray(at, end), masked),
    );
    at = Math.max(end, at + 1);
  }
  return { payload, bytes: Buffer.concat(parts) };
}

function* chunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + below(below(2) === 0 ? 8 : 70_000);
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** Payloads, or the fault, and that all that is not forbidden goes on as it came. */
function read(
  bytes: Buffer,
  masked: boolean,
): { payloads: Buffer[]; sentOn: Buffer; fault: string | undefined } {
  const reader = new MessageReader({ masked, maxBytes: MAX_BYTES });
  const payloads: Buffer[] = [];
  const sentOn: Buffer[] = [];
  try {
    for (const chunk of chunks(bytes)) {
      for (const each of reader.read(chunk)) {
        payloads.push(each.payload);
        sentOn.push(...framesWith(each, each.payload));
      }
    }
  } catch (error) {
    if (!(error instanceof FrameFault)) throw error;
    return { payloads, sentOn: Buffer.concat(sentOn), fault: error.message };
  }
  return { payloads, sentOn: Buffer.concat(sentOn), fault: undefined };
}

describe("WebSocket messages", () => {
  it("are read as they were sent, however they were cut", { timeout }, () => {
    const deadline = Date.now() + milliseconds / 2;
    while (Date.now() < deadline) {
      const masked = below(2) === 0;
      const sent = Array.from({ length: 1 + below(5) }, () => message(masked));
      const bytes = Buffer.concat(sent.map((each) => each.bytes));
      const got = read(bytes, masked);
      expect(got.fault, `seed ${seed}`).toBeUndefined();
      expect(Buffer.concat(got.payloads).equals(Buffer.concat(sent.map(({ payload }) => payload)))).toBe(
        true,
      );
      expect(got.sentOn.equals(bytes), `seed ${seed}`).toBe(true);
    }
  });

  it("that are damaged are a fault or other messages: nothing goes on that was not read", { timeout }, () => {
    const deadline = Date.now() + milliseconds / 2;
    let faults = 0;
    while (Date.now() < deadline) {
      const masked = below(2) === 0;
      const bytes = Buffer.concat(Array.from({ length: 1 + below(3) }, () => message(masked).bytes));
      for (let i = 1 + below(4); i > 0; i--) bytes[below(bytes.length)] = below(256);
      const got = read(bytes, masked);
      if (got.fault !== undefined) faults += 1;
      expect(bytes.subarray(0, got.sentOn.length).equals(got.sentOn), `seed ${seed}`).toBe(true);
    }
    // A fuzzer whose damage nobody notices damages nothing.
    expect(faults).toBeGreaterThan(0);
  });
});
