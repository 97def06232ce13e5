/**
 * A reporter of vitest's: names each test that was skipped, with what it said when it was, and leaves the number of errors
 * that were in no test in the file that `UNHANDLED_ERRORS` names.
 */
import { writeFileSync } from "node:fs";

// biome-ignore lint/style/noDefaultExport: as vitest asks for it.
export default class SkipReasons {
  onTestRunEnd(modules, errors) {
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const { note } = test.result();
        console.log(`skipped: ${test.fullName}${note === undefined ? "" : ` (${note})`}`);
      }
    }
    const file = process.env.UNHANDLED_ERRORS;
    if (file !== undefined) writeFileSync(file, String(errors.length));
  }
}
