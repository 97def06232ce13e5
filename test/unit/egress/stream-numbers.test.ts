import { describe, expect, it } from "vitest";
import { StreamNumbers } from "../../../src/sidecars/egress/accept/stream-numbers.ts";

describe("numbers of streams", () => {
  it("tell nothing while every request comes", () => {
    const numbers = new StreamNumbers();
    expect(numbers.taken(0)).toBe(false);
    expect([1, 3, 5].map((number) => numbers.came(number))).toEqual([false, false, false]);
    expect(numbers.taken(5)).toBe(false);
  });

  it("tell once of one that did not come, whether another follows or not", () => {
    const numbers = new StreamNumbers();
    numbers.came(1);
    expect([numbers.came(5), numbers.came(7)]).toEqual([true, false]);
    expect([numbers.taken(9), numbers.taken(9)]).toEqual([true, false]);
    expect(numbers.came(11)).toBe(false);
  });
});
