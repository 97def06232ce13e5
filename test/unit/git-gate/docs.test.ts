import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { gitEventSchemas } from "../../../src/contract/git-gate.ts";
import { DENIAL_STATUS } from "../../../src/sidecars/git-gate/denial.ts";

const text = readFileSync(new URL("../../../docs/git-gate.md", import.meta.url), "utf8");
const section = (title: string): string => text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
const codesIn = (cells: readonly string[]): string[] =>
  cells.flatMap((cell) => cell.match(/`[^`]+`/g) ?? []).map((span) => span.slice(1, -1));
const firstCells = (title: string): string[] =>
  section(title)
    .split("\n")
    .filter((row) => row.startsWith("| `"))
    .map((row) => row.split(" | ")[0] ?? "");

describe("docs/git-gate.md", () => {
  it("says of every refusal what it means and what to do, and of none that there is not", () => {
    expect(codesIn(firstCells("Refusals")).sort()).toEqual(Object.keys(DENIAL_STATUS).sort());
  });

  it("names every event of git-gate's", () => {
    const named = codesIn(firstCells("Looking at it"));
    for (const event of Object.keys(gitEventSchemas)) expect(named).toContain(event);
  });
});
