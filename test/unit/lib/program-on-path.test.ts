import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { programOnPath } from "../../../src/lib/program-on-path.ts";

describe("looking for a program", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bb-path-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const put = (place: string, mode: number): string => {
    mkdirSync(join(folder, place));
    const file = join(folder, place, "tool");
    writeFileSync(file, "#!/bin/sh\n");
    chmodSync(file, mode);
    return file;
  };
  const path = (...places: string[]): string => places.map((place) => join(folder, place)).join(delimiter);

  it("takes the first of its name", () => {
    const [first] = [put("one", 0o755), put("two", 0o755)];
    expect(programOnPath("tool", path("none", "one", "two"))).toBe(first);
    expect(programOnPath("other", path("one", "two"))).toBeUndefined();
  });

  it("passes by what nobody can execute, and a folder of that name", () => {
    put("plain", 0o644);
    mkdirSync(join(folder, "nested", "tool"), { recursive: true });
    const file = put("real", 0o755);
    expect(programOnPath("tool", path("plain", "nested", "real"))).toBe(file);
  });

  it("never looks into the folder that the command is given in", () => {
    put("one", 0o755);
    const here = relative(process.cwd(), join(folder, "one"));
    expect(programOnPath("tool", [here, "", "."].join(delimiter))).toBeUndefined();
  });
});
