/** Runs the whole suite and closes with one line: `N passed, N failed, N skipped`; each skip is named with its reason. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "bot-bottle-tests-"));
const report = join(folder, "report.json");
const { status } = spawnSync(
  "npx",
  [
    "vitest",
    "run",
    "--reporter=default",
    `--reporter=${fileURLToPath(new URL("skip-reasons.mjs", import.meta.url))}`,
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { stdio: "inherit" },
);
let counts = { passed: 0, failed: 1, skipped: 0 };
try {
  const results = JSON.parse(readFileSync(report, "utf8"));
  const tests = results.testResults.flatMap((file) => file.assertionResults);
  const skipped = tests.filter((test) => test.status !== "passed" && test.status !== "failed");
  const broken = results.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  );
  for (const file of broken) console.log(`failed to run: ${file.name}`);
  counts = {
    passed: tests.filter((test) => test.status === "passed").length,
    failed: tests.filter((test) => test.status === "failed").length + broken.length,
    skipped: skipped.length,
  };
} catch (error) {
  console.error(error);
}
rmSync(folder, { recursive: true, force: true });
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(status === 0 && counts.failed === 0 ? 0 : 1);
