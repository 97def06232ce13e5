/** A mutant whose text is not there any more breaks nothing, and would say so only when somebody runs it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { batchesOf, mutantsOf } from "../../mutate/mutants.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

it("every mutant replaces what stands exactly once, and names tests that are there", () => {
  const faults = [...batchesOf(ROOT), ...mutantsOf(ROOT)].flatMap(({ name, file, find, tests }) => {
    const count = readFileSync(join(ROOT, file), "utf8").split(find).length - 1;
    const missing = tests.filter((test) => !existsSync(join(ROOT, test)));
    return [
      ...(count === 1 ? [] : [`${name}: stands ${count} times in ${file}: ${find}`]),
      ...missing.map((test) => `${name}: there is no ${test}`),
    ];
  });
  expect(faults).toEqual([]);
});
