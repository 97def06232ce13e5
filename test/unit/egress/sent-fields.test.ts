import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SentFields } from "../../../src/sidecars/egress/accept/sent-fields.ts";
import { frame, literal, requestBytes } from "../../support/http2-frames.ts";

const PREFACE = requestBytes([]).subarray(0, 24 + 9);
const END = 0x4;

/** Bytes that are one field, however it is written (RFC 7541, section 6), and some that are none. */
const representation = fc.oneof(
  fc.constant([1, Buffer.from([0x82])] as const),
  // An entry far behind in the table: a number in several bytes.
  fc.constant([1, Buffer.from([0xff, 0x80, 0x01])] as const),
  fc.constant([0, Buffer.from([0x3f, 0xe1, 0x1f])] as const),
  fc.constant([0, Buffer.from([0x20])] as const),
  fc
    .tuple(fc.constantFrom(0x00, 0x10, 0x40), fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }))
    .map(([kind, name, value]) => [1, withFirst(literal([name, value]), kind)] as const),
  fc
    .tuple(
      fc.constantFrom([0x41], [0x7f, 0x05], [0x0f, 0x21], [0x1f, 0x80, 0x01]),
      fc.string({ maxLength: 300 }),
    )
    .map(
      ([first, value]) => [1, Buffer.concat([Buffer.from(first), literal(["", value]).subarray(2)])] as const,
    ),
);

function withFirst(bytes: Buffer, kind: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[0] = kind;
  return copy;
}

/** HEADERS and as many CONTINUATIONs, padded and with a priority or not. */
function framesOf(
  stream: number,
  block: Buffer,
  cuts: number,
  padding: number,
  hasPriority: boolean,
): Buffer {
  const size = Math.ceil(block.length / cuts) || 1;
  const parts = Array.from({ length: cuts }, (_, i) => block.subarray(i * size, (i + 1) * size));
  return Buffer.concat(
    parts.map((part, i) => {
      const end = i === cuts - 1 ? END : 0;
      if (i > 0) return frame(9, end, stream, part);
      const flags = end | (padding > 0 ? 0x8 : 0) | (hasPriority ? 0x20 : 0);
      const priority = hasPriority ? [Buffer.alloc(5, 0x82)] : [];
      const padded = padding > 0 ? [Buffer.from([padding])] : [];
      return frame(1, flags, stream, Buffer.concat([...padded, ...priority, part, Buffer.alloc(padding)]));
    }),
  );
}

const request = fc.record({
  fields: fc.array(representation, { maxLength: 12 }),
  trailers: fc.array(representation, { maxLength: 3 }),
  cuts: fc.integer({ min: 1, max: 4 }),
  padding: fc.constantFrom(0, 1, 200),
  hasPriority: fc.boolean(),
  between: fc.constantFrom(
    Buffer.alloc(0),
    frame(6, 0, 0, Buffer.alloc(8)),
    frame(0, 0, 1, Buffer.alloc(999)),
  ),
});

const count = (all: readonly (readonly [number, Buffer])[]): number =>
  all.reduce((sum, [one]) => sum + one, 0);
const bytes = (all: readonly (readonly [number, Buffer])[]): Buffer =>
  Buffer.concat(all.map(([, each]) => each));

describe("the fields that were sent", () => {
  it("are counted however they are written, framed and cut", () => {
    fc.assert(
      fc.property(
        fc.array(request, { maxLength: 5 }),
        fc.integer({ min: 1, max: 2000 }),
        (requests, size) => {
          const all = Buffer.concat([
            PREFACE,
            ...requests.flatMap(({ fields, trailers, cuts, padding, hasPriority, between }, i) => [
              framesOf(2 * i + 1, bytes(fields), cuts, padding, hasPriority),
              between,
              ...(trailers.length === 0 ? [] : [framesOf(2 * i + 1, bytes(trailers), 1, padding, false)]),
            ]),
          ]);
          const sent = new SentFields();
          for (let at = 0; at < all.length; at += size) sent.push(all.subarray(at, at + size));
          for (const [i, { fields, trailers }] of requests.entries()) {
            expect(sent.came(2 * i + 1, count(fields))).toBe(true);
            expect(sent.ended(2 * i + 1, count(trailers))).toBe(true);
          }
          expect(sent.hasUntold).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("that did not come all are missed, and so is a request that nobody told of", () => {
    const sent = new SentFields();
    const block = Buffer.concat([literal(["a", "b"]), literal(["c", "d\r\ne: f"])]);
    sent.push(
      Buffer.concat([PREFACE, frame(1, END, 1, block), frame(1, END, 3, block), frame(1, END, 5, block)]),
    );
    expect(sent.came(1, 1)).toBe(false);
    expect(sent.passed(4)).toBe(true);
    expect(sent.passed(4)).toBe(false);
    expect(sent.came(5, 2)).toBe(true);
    sent.push(frame(1, END, 5, block));
    expect(sent.ended(5, 0)).toBe(false);
    expect(sent.ended(5, 1)).toBe(false);
    expect(sent.ended(5, 2)).toBe(true);
    sent.forget(5);
    expect(sent.ended(5, 0)).toBe(true);
  });

  it("of a request that was never sent are none: it is no whole one", () => {
    expect(new SentFields().came(1, 4)).toBe(false);
  });

  it("are forgotten of those that nobody ever tells of: memory does not grow with them", () => {
    const sent = new SentFields();
    sent.push(PREFACE);
    for (let i = 0; i < 5000; i++) sent.push(frame(1, END, 2 * i + 1, literal(["a", "b"])));
    expect(sent.came(1, 1)).toBe(false);
    expect(sent.came(9999, 1)).toBe(true);
  });

  it("do not mind what is no HTTP/2", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), (noise) => {
        const sent = new SentFields();
        sent.push(PREFACE);
        sent.push(noise);
      }),
    );
  });
});
