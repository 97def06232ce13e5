import { describe, expect, it } from "vitest";
import { createReceipts } from "../../../src/lib/receipts.ts";

describe("receipts", () => {
  it("resolve with their own number, whatever the order, and only with that", async () => {
    const receipts = createReceipts();
    const sent: number[] = [];
    const done: string[] = [];
    const first = receipts.ask((receipt) => sent.push(receipt), 5_000).then(() => done.push("first"));
    const second = receipts.ask((receipt) => sent.push(receipt), 5_000).then(() => done.push("second"));
    expect(new Set(sent).size).toBe(2);
    for (const stranger of [0, 99, -1, "1", null, undefined, {}]) receipts.given(stranger);
    receipts.given(sent[1]);
    await second;
    expect(done).toEqual(["second"]);
    receipts.given(sent[0]);
    receipts.given(sent[0]);
    await first;
    expect(done).toEqual(["second", "first"]);
  });

  it("reject when nothing is heard in time, and a word that comes too late changes nothing", async () => {
    const receipts = createReceipts();
    let number = 0;
    const asked = receipts.ask((receipt) => {
      number = receipt;
    }, 1);
    await expect(asked).rejects.toThrow("not heard of");
    receipts.given(number);
  });
});
