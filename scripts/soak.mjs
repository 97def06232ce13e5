/**
 * Runs long what CI runs short: all of it, or what is named (`npm run soak -- day`). What is drawn at random is drawn by a
 * seed that is printed; SEED brings it back.
 */
import { spawnSync } from "node:child_process";

const SOAKS = {
  commit: ["test/integration/backends/qemu-disks.test.ts"],
  attack: ["test/escape/attack"],
  debootstrap: ["test/integration/image/debootstrap.test.ts"],
  fuzz: ["test/fuzz"],
  inspect: ["test/integration/inspect"],
  git: ["kill", "life", "large", "many"].map((name) => `test/integration/git-gate/${name}.test.ts`),
  faults: ["test/integration/lifecycle/faults.test.ts"],
  aliases: ["reach", "contained"].map((name) => `test/integration/backends/smolmachines-${name}.test.ts`),
  releases: ["test/integration/backends/smolmachines", "test/integration/smolmachines-bottle"],
  docker: ["test/integration/docker"],
  day: ["test/integration/lifecycle/day.test.ts"],
};

const asked = process.argv.slice(2);
const first = asked.findIndex((word) => word.startsWith("-"));
const names = first < 0 ? asked : asked.slice(0, first);
const unknown = names.filter((name) => !(name in SOAKS));
if (unknown.length > 0) {
  console.error(`there is no soak ${unknown.join(", ")}; there are: ${Object.keys(SOAKS).join(", ")}`);
  process.exit(2);
}
const paths = Object.entries(SOAKS).flatMap(([name, files]) =>
  names.length === 0 || names.includes(name) ? files : [],
);
// What begins with a dash is for vitest: `-- day -t docker`.
const flags = asked.slice(names.length);
const { status } = spawnSync("npx", ["vitest", "run", ...paths, ...flags], {
  stdio: "inherit",
  env: { ...process.env, SOAK: "1" },
});
process.exit(status ?? 1);
