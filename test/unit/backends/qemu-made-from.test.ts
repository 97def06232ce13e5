/** What is made from this host's files once, and again when one of them is another. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { madeFrom } from "../../../src/backends/qemu/made-from.ts";

let folder: string;
let times: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbm-"));
  times = 0;
  writeFileSync(join(folder, "source"), "one");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const product = () => join(folder, "product");
const make = (what = "it") =>
  madeFrom([what], folder, async (from) => {
    from(join(folder, "source"));
    times += 1;
    writeFileSync(product(), "made");
    return product();
  });

describe("what was made from files", () => {
  it("is not made again while they are what they were", async () => {
    expect(await make()).toBe(product());
    expect(await make()).toBe(product());
    expect(times).toBe(1);
    await make("another");
    expect(times).toBe(2);
  });

  it("is made again when one was written, even to the same length, or is gone", async () => {
    await make();
    writeFileSync(join(folder, "source"), "two");
    await make();
    expect(times).toBe(2);
    rmSync(join(folder, "source"));
    await make();
    await make();
    // Of a file that is not there nobody can say that it has not changed.
    expect(times).toBe(4);
  });

  it("is made again when it is gone itself", async () => {
    await make();
    rmSync(product());
    await make();
    expect(times).toBe(2);
  });
});
