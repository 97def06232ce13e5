import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { broughtPipelock, thePipelock } from "../../../src/bundle/pipelock-program.ts";

let folder = "";
let path: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbp-"));
  path = process.env["PATH"];
  process.env["PATH"] = folder;
});
afterEach(() => {
  process.env["PATH"] = path;
  rmSync(folder, { recursive: true, force: true });
});

describe("the operator's pipelock", () => {
  it("is what PATH leads to, behind every link", () => {
    writeFileSync(join(folder, "real"), "");
    chmodSync(join(folder, "real"), 0o755);
    symlinkSync("real", join(folder, "pipelock"));
    expect(thePipelock()).toBe(join(folder, "real"));
  });

  it("is neither a file that cannot be run nor a folder", () => {
    writeFileSync(join(folder, "pipelock"), "", { mode: 0o644 });
    expect(() => thePipelock()).toThrow("there is no pipelock on your PATH");
    expect(broughtPipelock()).toBeUndefined();
  });

  it("is never looked for in the folder where somebody happens to be", () => {
    process.env["PATH"] = ".:";
    expect(() => thePipelock()).toThrow("there is no pipelock on your PATH");
  });
});
