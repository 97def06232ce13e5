/** What we write in git's own syntax, judged by git. */
import { execFileSync, spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import { renderGitConfig } from "../../../src/provision/git-config.ts";
import { isPlainName } from "../../../src/provision/workspace/work-refs.ts";

it("git reads back every setting as it was written, for any text", () => {
  const text = fc
    .string({ unit: "binary", maxLength: 60 })
    .filter((value) => !/[\u0000-\u001f\u007f]/.test(value));
  const name = text.filter((value) => value !== "");
  fc.assert(
    fc.property(text, name, (value, subsection) => {
      const input = renderGitConfig([{ name: "user", subsection, values: [["name", value]] }]);
      const output = execFileSync("git", ["config", "--file", "-", "--list", "-z"], {
        input,
        encoding: "utf8",
      });
      expect(output).toBe(`user.${subsection}.name\n${value}\0`);
    }),
    { numRuns: 25 },
  );
});

it("git accepts every ref name that we accept", () => {
  const alphabet = [..."ab.-/@{}~^:?*[\\ lock_#=%+,A1"];
  const names = fc
    .string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: 12 })
    .filter(isPlainName);
  fc.assert(
    fc.property(names, (name) => {
      expect(spawnSync("git", ["check-ref-format", `refs/heads/${name}`]).status).toBe(0);
    }),
    { numRuns: 40 },
  );
});
