import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createTicker } from "../../../src/lib/ticker.ts";

describe("a ticker", () => {
  const reaches = async (count: () => number, wanted: number): Promise<void> => {
    while (count() < wanted) await pause(1);
  };

  it("stands still until it is woken, while nothing is there, and goes on when it is woken again", async () => {
    let ticks = 0;
    let isBusy = true;
    const clock = createTicker(1, () => {
      ticks += 1;
      return isBusy;
    });
    await pause(20);
    expect(ticks).toBe(0);
    clock.wake();
    clock.wake();
    await reaches(() => ticks, 5);
    isBusy = false;
    const last = ticks;
    await pause(50);
    expect(ticks - last).toBe(2);
    clock.wake();
    await reaches(() => ticks, last + 4);
    clock.stop();
  });

  it("does nothing more once it was stopped", async () => {
    let ticks = 0;
    const clock = createTicker(1, () => {
      ticks += 1;
      return true;
    });
    clock.wake();
    clock.stop();
    await pause(20);
    expect(ticks).toBe(0);
  });
});
