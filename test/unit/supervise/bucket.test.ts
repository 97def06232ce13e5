import { describe, expect, it } from "vitest";
import { createBucket } from "../../../src/sidecars/supervise/bucket.ts";

describe("a bucket", () => {
  it("gives its burst at once, then its rate, and says how long to wait", () => {
    let now = 0;
    const bucket = createBucket(3, 0.5, () => now);
    expect([1, 2, 3, 4].map(() => bucket.take())).toEqual([0, 0, 0, 2]);
    now = 1_999;
    expect(bucket.take()).toBe(1);
    now = 2_000;
    expect([1, 2].map(() => bucket.take())).toEqual([0, 2]);
    now = 1_000_000;
    expect([1, 2, 3, 4].map(() => bucket.take())).toEqual([0, 0, 0, 2]);
  });
});
