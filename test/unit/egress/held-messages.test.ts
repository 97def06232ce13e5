/** What a WebSocket keeps in memory, and how all of them together are bounded. */
import { describe, expect, it } from "vitest";
import { INSPECTED } from "../../../src/contract/policy.ts";
import { compileInspector } from "../../../src/inspect/inspector.ts";
import type { Refusal } from "../../../src/sidecars/egress/denial.ts";
import { MessageReader } from "../../../src/sidecars/egress/inspection/frames.ts";
import { inspectMessages, type MessageInspection } from "../../../src/sidecars/egress/inspection/messages.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";
import { frame, PING } from "../../support/websocket.ts";

const KB = 1024;
const limits = { ...LIMITS, allMessageBytes: 100 * KB, ownMessageBytes: 10 * KB };
const phrases = compileInspector({ detectors: [], phrases: true, fingerprintKey: Buffer.alloc(32) });
const half = (bytes: number, masked = true): Buffer => frame(Buffer.alloc(bytes), { fin: false, masked });
const whole = (bytes: number): Buffer => frame(Buffer.alloc(bytes), { masked: true });

function sockets(): { held: { bytes: number }; open(): { socket: MessageInspection; refusals: Refusal[] } } {
  const held = { bytes: 0 };
  return {
    held,
    open() {
      const refusals: Refusal[] = [];
      const events = {
        masked() {},
        flagged() {},
        refused: (refusal: Refusal) => void refusals.push(refusal),
      };
      const route = { inspection: { ...INSPECTED, phrases: "off" } } as const;
      const ruleOn = () => ({ kind: "pass" }) as const;
      const options = { route, limits, held, ruleOn, phrases, scrubber: undefined };
      return { socket: inspectMessages(options, events), refusals };
    },
  };
}

describe("a reader of messages", () => {
  it.each([true, false])("keeps nothing but what is not whole; masked: %s", (masked) => {
    const reader = new MessageReader({ masked, maxBytes: 1024 * KB });
    // Pings fill the chunk in which one byte of the message came.
    const pings = Buffer.concat(
      Array.from({ length: 500 }, () => frame("p".repeat(120), { opcode: PING, masked })),
    );
    for (let i = 0; i < 20; i++) {
      const part = frame("x", { opcode: i === 0 ? 1 : 0, fin: false, masked });
      expect(reader.read(Buffer.concat([part, pings]))).toHaveLength(500);
    }
    const [message] = reader.read(frame("x", { opcode: 0, masked }));
    const kept = (message?.frames ?? []).slice(0, 20).map(({ head, payload, key }) => ({
      bytes: head.length + payload.length,
      memory: new Set([head.buffer, payload.buffer, ...(key === undefined ? [] : [key.buffer])]),
    }));
    expect(kept).toHaveLength(20);
    for (const { bytes, memory } of kept) {
      expect([...memory].map(({ byteLength }) => byteLength)).toEqual([bytes]);
    }
  });

  it("says what it keeps, with what small pieces cost besides, and nothing of what is whole", () => {
    const reader = new MessageReader({ masked: true, maxBytes: 1024 * KB });
    reader.read(whole(5 * KB));
    expect(reader.held).toBe(0);
    for (const byte of whole(300).subarray(0, 200)) reader.read(Buffer.from([byte]));
    expect(reader.held).toBeGreaterThan(200 * 100);
    reader.forget();
    reader.read(half(5 * KB));
    const first = reader.held;
    expect(first).toBeGreaterThan(5 * KB);
    for (let i = 0; i < 100; i++) reader.read(frame("", { opcode: 0, fin: false, masked: true }));
    expect(reader.held).toBeGreaterThan(first + 100 * 500);
    reader.forget();
    expect(reader.held).toBe(0);
  });
});

describe("all WebSockets together", () => {
  it("hold what they may, and who goes beyond it is ended, with the reason", () => {
    const { held, open } = sockets();
    const greedy = Array.from({ length: 10 }, open);
    for (const { socket } of greedy) expect(socket.up(half(20 * KB))).toEqual([]);
    const ended = greedy.filter(({ refusals }) => refusals.length > 0);
    // Each makes room again for another.
    expect(ended.map(({ refusals }) => refusals.map(({ code }) => code))).toEqual(
      ended.map(() => ["overloaded"]),
    );
    expect(ended.length).toBeGreaterThanOrEqual(5);
    expect(held.bytes).toBeLessThanOrEqual(limits.allMessageBytes);
    for (const { socket } of ended) expect(socket.up(whole(10))).toEqual([]);
  });

  it("leave each its small part, and messages that come whole, when the rest is gone", () => {
    const { held, open } = sockets();
    for (const { socket } of Array.from({ length: 4 }, open)) socket.up(half(23 * KB));
    const honest = open();
    expect(honest.socket.up(half(8 * KB))).toEqual([]);
    expect(honest.socket.down(frame("hello"))).toHaveLength(2);
    expect(honest.socket.up(frame("end", { opcode: 0, masked: true }))).not.toEqual([]);
    expect(honest.socket.up(whole(90 * KB))).not.toEqual([]);
    expect(honest.refusals).toEqual([]);
    expect(held.bytes).toBeGreaterThan(90 * KB);
  });

  it("count what nobody takes, either way", () => {
    const { held, open } = sockets();
    const [up, down, late] = [open(), open(), open()];
    up.socket.upWaits(50 * KB);
    down.socket.downWaits(45 * KB);
    expect([...up.refusals, ...down.refusals]).toEqual([]);
    late.socket.down(half(20 * KB, false));
    expect(late.refusals.map(({ code }) => code)).toEqual(["overloaded"]);
    down.socket.downWaits(60 * KB);
    expect(down.refusals.map(({ code }) => code)).toEqual(["overloaded"]);
    // It lies there until the socket is gone.
    expect(held.bytes).toBe(110 * KB);
  });

  it("give back what they held when they are closed, or break the rules", () => {
    const { held, open } = sockets();
    for (const [i, each] of Array.from({ length: 30 }, open).entries()) {
      each.socket.up(half(20 * KB));
      each.socket.downWaits(20 * KB);
      if (i % 2 === 0) each.socket.up(Buffer.from([0xff, 0xff]));
      each.socket.closed();
      expect(held.bytes).toBe(0);
      expect(each.refusals.map(({ code }) => code)).toEqual(i % 2 === 0 ? ["upgrade-refused"] : []);
      expect(each.socket.up(half(20 * KB))).toEqual([]);
      expect(held.bytes).toBe(0);
    }
  });
});
