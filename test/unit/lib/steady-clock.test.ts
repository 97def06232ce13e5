import { describe, expect, it } from "vitest";
import { createSteadyClock } from "../../../src/lib/steady-clock.ts";

const HOUR = 3_600_000;

function clocks(since = 0) {
  let [wall, elapsed] = [100 * HOUR, 0];
  const now = createSteadyClock(
    since,
    () => wall,
    () => elapsed,
  );
  return {
    now: () => now() / HOUR,
    pass: (hours: number): void => {
      wall += hours * HOUR;
      elapsed += hours * HOUR;
    },
    set: (hours: number): void => {
      wall += hours * HOUR;
    },
  };
}

describe("the clock by which things end", () => {
  it("goes with the host's, and on by itself when that is set back", () => {
    const { now, pass, set } = clocks();
    pass(1);
    expect(now()).toBe(101);
    set(-5);
    expect(now()).toBe(101);
    pass(2);
    expect(now()).toBe(103);
    set(-5);
    pass(1);
    expect(now()).toBe(104);
  });

  it("is ahead at once where the host's was set forward, or its machine slept, and stays so", () => {
    const { now, pass, set } = clocks();
    set(5);
    expect(now()).toBe(105);
    set(-5);
    pass(1);
    expect(now()).toBe(106);
  });

  it("begins no earlier than what an earlier life has seen", () => {
    const { now, pass } = clocks(102 * HOUR);
    expect(now()).toBe(102);
    pass(1);
    expect(now()).toBe(103);
  });
});
