/**
 * Runs the whole suite and closes with one line: `N passed, N failed, N skipped`; each skip is named with its reason.
 * What differs from one release of Node to the next is tried once more with the Node in the folder that `OTHER_NODE` names.
 *
 * Tests of real machines and daemons share two processors with each other. Where one or two files of those fail, they are
 * run once more, by themselves: what fails again has failed, and what does not is named as unsteady, to be mended. Tests of
 * pure code have no such excuse.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** More at once are no accident. */
const MAX_AGAIN = 2;

/** Pure code, the unpackers and protocols that are Node's own, its processes and handles, and a whole bottle. */
const ON_OTHER_NODE = [
  "test/unit",
  "test/integration/demo/quick-agent.test.ts",
  "test/integration/egress/inspection/answers.test.ts",
  "test/integration/egress/inspection/bodies.test.ts",
];

const folder = mkdtempSync(join(tmpdir(), "bot-bottle-tests-"));
const parts = [suite(process.argv.slice(2), {})];
const other = process.env.OTHER_NODE ?? "";
if (other !== "") {
  const PATH = `${other}:${process.env.PATH}`;
  const { stdout } = spawnSync("node", ["--version"], { env: { ...process.env, PATH }, encoding: "utf8" });
  console.log(`\nonce more, with Node ${stdout.trim()}`);
  parts.push(suite(ON_OTHER_NODE, { PATH }));
}
rmSync(folder, { recursive: true, force: true });
const files = parts.flatMap((part) => part.files);
const stray = parts.reduce((sum, part) => sum + part.stray, 0);
if (stray > 0) console.log(`${stray} errors outside every test`);
const tests = files.flatMap((file) => file.assertionResults);
const counts = {
  passed: tests.filter(({ status }) => status === "passed").length,
  failed: files.filter(hasFailed).flatMap(failuresIn).length + stray,
  skipped: tests.filter(({ status }) => status !== "passed" && status !== "failed").length,
};
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 ? 0 : 1);

/** The same, with those that failed by accident tried again. */
function suite(args, env) {
  let { files, stray } = run(args, env);
  const failed = files.filter(hasFailed);
  if (failed.length > MAX_AGAIN || failed.some(({ name }) => placeOf(name).startsWith("test/unit/")))
    return { files, stray };
  for (const earlier of failed) {
    console.log(`\nonce more, by itself: ${placeOf(earlier.name)}`);
    const again = run([placeOf(earlier.name)], env);
    stray += again.stray;
    const [later] = again.files;
    if (later === undefined || hasFailed(later)) continue;
    files = files.map((file) => (file === earlier ? later : file));
    for (const what of failuresIn(earlier))
      console.log(`UNSTEADY: ${what}: failed beside the others, passed by itself`);
  }
  return { files, stray };
}

/** The results of each file, and how many errors were in none of their tests. */
function run(args, env) {
  const report = join(folder, "report.json");
  const unhandled = join(folder, "unhandled");
  for (const earlier of [report, unhandled]) rmSync(earlier, { force: true });
  const { status } = spawnSync(
    "npx",
    [
      "vitest",
      "run",
      "--reporter=default",
      `--reporter=${fileURLToPath(new URL("skip-reasons.mjs", import.meta.url))}`,
      "--reporter=json",
      `--outputFile.json=${report}`,
      ...args,
    ],
    { stdio: "inherit", env: { ...process.env, ...env, UNHANDLED_ERRORS: unhandled } },
  );
  try {
    const { testResults } = JSON.parse(readFileSync(report, "utf8"));
    const stray = Number(readFileSync(unhandled, "utf8"));
    const isTold = status === 0 || stray > 0 || testResults.some(hasFailed);
    return { files: testResults, stray: isTold ? stray : 1 };
  } catch (error) {
    console.error(error);
    return { files: [], stray: 1 };
  }
}

function hasFailed(file) {
  return file.status === "failed" || file.assertionResults.some(({ status }) => status === "failed");
}

/** Its failed tests; the file itself where it could not be run. */
function failuresIn(file) {
  const failed = file.assertionResults.filter(({ status }) => status === "failed");
  return failed.length === 0 ? [placeOf(file.name)] : failed.map(({ fullName }) => fullName);
}

function placeOf(name) {
  return relative(process.cwd(), name);
}
