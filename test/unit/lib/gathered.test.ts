import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Gathered } from "../../../src/lib/gathered.ts";

const piece = fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ maxLength: 5000 }));

describe("bytes that come in pieces", () => {
  it("are whole when they are taken, and then gone", () => {
    const gathered = new Gathered();
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const whole = Buffer.concat(pieces);
        for (const each of pieces) {
          gathered.push(each);
          // Whose it is may use it again.
          each.fill(0);
        }
        expect(gathered.length).toBe(whole.length);
        expect(gathered.take().equals(whole)).toBe(true);
        expect(gathered.length).toBe(0);
        expect(gathered.take()).toHaveLength(0);
      }),
    );
  });

  it("keep what was taken as it was", () => {
    const gathered = new Gathered();
    gathered.push(Buffer.from("first"));
    const first = gathered.take();
    gathered.push(Buffer.from("other"));
    expect(first.toString()).toBe("first");
    expect(gathered.take().toString()).toBe("other");
  });

  it("do not take much more room than they are long", () => {
    const gathered = new Gathered();
    for (let i = 0; i < 1_000_000; i++) gathered.push(Buffer.alloc(1));
    expect(gathered.take().buffer.byteLength).toBeLessThan(1_200_000);
  });
});
