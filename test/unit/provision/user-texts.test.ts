import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { userTextFiles } from "../../../src/provision/user-texts.ts";
import { thrownBy } from "../../support/manifest-tree.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "texts-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the operator's texts, at a launch", () => {
  const textAt = (from: string) => ({ name: "CLAUDE.md", from, to: "/home/node/.claude/CLAUDE.md" });

  it("are what they are by then", () => {
    const from = join(folder, "CLAUDE.md");
    writeFileSync(from, "Be brief.\n");
    expect(userTextFiles([textAt(from)])).toEqual([
      { path: "/home/node/.claude/CLAUDE.md", content: "Be brief.\n", mode: 0o600 },
    ]);
  });

  it("stop it when one is gone, or holds a secret since it was shown", () => {
    const from = join(folder, "CLAUDE.md");
    expect(thrownBy(() => userTextFiles([textAt(from)])).message).toContain(
      `CLAUDE.md cannot come along: ${from} does not exist`,
    );
    // Built here, so that no scanner takes this file for a leak.
    const key = `${"AKIA"}${"QWERTYUIOPASDFG2"}`;
    writeFileSync(from, `Use ${key}.`);
    const { message } = thrownBy(() => userTextFiles([textAt(from)]));
    expect(message).toContain("looks like it holds a secret");
    expect(message).not.toContain(key);
  });
});
