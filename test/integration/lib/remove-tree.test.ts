/** What an untrusted program leaves to be removed, by an ordinary user whenever there is one to be. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeTree } from "../../../src/lib/remove-tree.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbt-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** With the system's calls alone: no path is as long as what it makes. */
const make = (script: string): void => {
  execFileSync("perl", ["-e", `chdir $ARGV[0] or die; ${script}`, folder]);
};

describe("removes", () => {
  it("regression: folders within each other deeper than any path, and what is in them", async () => {
    make(`for my $i (1 .. 40) {
      my $name = sprintf("%03d", $i) . "x" x 240;
      mkdir $name or die; open my $file, ">", "file" or die; chdir $name or die;
    }`);
    make(`for (1 .. 3000) { mkdir "d" or die; chdir "d" or die }`);
    await expect(rm(folder, { recursive: true }), "the control").rejects.toThrow("ENAMETOOLONG");
    await removeTree(folder);
    expect(existsSync(folder)).toBe(false);
  });

  it("folders without a bit of permission, whatever bytes they are called by", async () => {
    make(`mkdir "\\xff\\xfe" or die; chdir "\\xff\\xfe" or die; mkdir "in" or die;
      open my $file, ">", "in/file" or die; chmod 0, "in" or die; chdir ".." or die; chmod 0, "\\xff\\xfe" or die`);
    await removeTree(folder);
    expect(existsSync(folder)).toBe(false);
  });

  it("links, and nothing that they lead to", async () => {
    make(`mkdir "kept" or die; open my $file, ">", "kept/file" or die; mkdir "gone" or die;
      symlink "../kept", "gone/link" or die; chmod 0, "gone" or die`);
    await removeTree(join(folder, "gone"));
    expect(existsSync(join(folder, "gone"))).toBe(false);
    expect(existsSync(join(folder, "kept/file"))).toBe(true);
  });

  it("nothing where there is nothing", async () => {
    await removeTree(join(folder, "none"));
  });
});
