import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loaderOf, lookFor } from "../../../src/jail/guest-look.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";

const folder = mkdtempSync(join(tmpdir(), "bbl-"));
afterAll(() => removeTree(folder));

function script(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), 0o755);
}

describe("a look at a guest's system", () => {
  it("tells which programs are not on its path, the agent's among them", () => {
    script("there", "#!/bin/sh\n");
    expect(lookFor({ path: folder, names: ["there", "absent"], agent: "there" })).toEqual({
      missing: ["absent"],
    });
    expect(lookFor({ path: folder, names: [], agent: "nobody" })).toEqual({ missing: ["nobody"] });
    expect(lookFor({ path: folder, names: [], agent: join(folder, "gone") })).toEqual({
      missing: [join(folder, "gone")],
    });
  });

  it("tells what the agent's program would be started by, where that is not there", () => {
    script("strange", "#! /no/such/interpreter -x\n");
    expect(lookFor({ path: folder, names: [], agent: "strange" })).toEqual({
      missing: [],
      missingLoader: "/no/such/interpreter",
    });
  });

  it("reads the loader of a program that is linked, and none of bytes that only begin like one", () => {
    expect(loaderOf(readFileSync("/bin/sh").subarray(0, 65_536))).toMatch(/^\/lib.*\/ld-/);
    expect(loaderOf(Buffer.alloc(100))).toBeUndefined();
    const cut = Buffer.from(readFileSync("/bin/sh").subarray(0, 80));
    expect(loaderOf(cut)).toBeUndefined();
    cut.writeBigUInt64LE(2n ** 63n, 32);
    expect(loaderOf(cut)).toBeUndefined();
  });
});
