/** `npm run bench -- start | exec | approvals | egress | git | inspect | many | proxy | vm [--json]`. Prints figures; judges nothing. */
import type { BenchRow } from "./row.ts";

const benches: Readonly<Record<string, () => Promise<readonly BenchRow[]>>> = {
  start: async () => (await import("./start.ts")).benchStart(),
  exec: async () => (await import("./exec.ts")).benchExec(),
  approvals: async () => (await import("./approvals.ts")).benchApprovals(),
  egress: async () => (await import("./egress.ts")).benchEgress(),
  git: async () => (await import("./git.ts")).benchGit(),
  inspect: async () => (await import("./inspect.ts")).benchInspect(),
  many: async () => (await import("./many.ts")).benchMany(),
  proxy: async () => (await import("./proxy/proxy.ts")).benchProxy(),
  vm: async () => (await import("./vm.ts")).benchVm(),
};

const words = process.argv.slice(2);
const json = words.includes("--json");
const asked = words.filter((word) => word !== "--json");
// Before the first: together they take most of an hour.
const unknown = asked.find((name) => benches[name] === undefined);
if (unknown !== undefined) {
  process.stderr.write(`no bench ${unknown}; there are ${Object.keys(benches).join(", ")}, and --json\n`);
  process.exit(2);
}
const rows: BenchRow[] = [];
for (const [name, bench] of Object.entries(benches)) {
  if (asked.length === 0 || asked.includes(name)) rows.push(...(await bench()));
}
if (json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
else {
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const { name, unit, median, p95, note } of rows) {
    const figures = Number.isNaN(median)
      ? "-".padStart(9)
      : `${median.toFixed(1).padStart(9)} median ${p95.toFixed(1).padStart(9)} p95 ${unit}`;
    process.stdout.write(`${name.padEnd(width)}  ${figures}${note === undefined ? "" : `  (${note})`}\n`);
  }
}
process.exit(0);
