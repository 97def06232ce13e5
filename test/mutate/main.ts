/**
 * `npm run test:mutate`: breaks what protects, one thing at a time, in a copy of the tree, and expects a test to fail.
 *
 *   --seconds N    as many as fit, drawn with --seed (printed); detectors first
 *   --only TEXT    those whose name has it
 *   --list         names only
 *   --attack       instead, what probes of bottle attack must notice, in real bottles
 *
 * Ends with 1 when one survives: that is a missing test.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { random, shuffled } from "../support/random.ts";
import { attackIn, BREACHES } from "./attack.ts";
import type { BreachGroup } from "./breaches/breach.ts";
import type { Batch, Mutant } from "./guards.ts";
import { batchesOf, mutantsOf } from "./mutants.ts";
import { type Change, Workspace } from "./workspace.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    seed: { type: "string" },
    only: { type: "string", default: "" },
    list: { type: "boolean", default: false },
    attack: { type: "boolean", default: false },
  },
});
const only = values.only;
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const deadline =
  values.seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.seconds) * 1000;

const survivors: string[] = [];
let killed = 0;

function tell(name: string, isKilled: boolean, by: string): void {
  if (isKilled) killed += 1;
  else survivors.push(name);
  console.log(`${isKilled ? "killed  " : "SURVIVED"}  ${name}${isKilled ? `  <- ${by}` : ""}`);
}

async function tryBatch(workspace: Workspace, batch: Batch): Promise<void> {
  const wanted = [...batch.killers].filter(([name]) => name.includes(only));
  if (wanted.length === 0) return;
  const { failed } = await workspace.broken(batch, () => workspace.run(batch.tests, { bail: false }));
  for (const [name, test] of wanted) {
    const killer = failed.find((each) => each.includes(test));
    tell(name, killer !== undefined, killer ?? "");
  }
}

async function tryOne(workspace: Workspace, mutant: Mutant): Promise<void> {
  const options = { bail: true, ...(mutant.pattern === undefined ? {} : { pattern: mutant.pattern }) };
  const killer = await workspace.broken(mutant, async () => {
    let tried = 0;
    for (const test of mutant.tests) {
      const { tests, failed } = await workspace.run([test], options);
      if (failed[0] !== undefined) return failed[0];
      tried += tests;
    }
    if (tried === 0) throw new Error(`${mutant.name}: no test is called ${mutant.pattern}`);
    return undefined;
  });
  tell(mutant.name, killer !== undefined, killer?.split("\n")[0] ?? "");
}

/** A breach is noticed when every one of its probes fails; a group of them is in force at once. */
async function tryBreaches(workspace: Workspace, group: BreachGroup): Promise<void> {
  const breaches = group.breaches.filter(({ name }) => `${group.name}: ${name}`.includes(only));
  if (breaches.length === 0) return;
  const inForce = (rest: readonly Change[]): ReturnType<typeof attackIn> => {
    const [first, ...others] = rest;
    if (first !== undefined) return workspace.broken(first, () => inForce(others));
    return attackIn(workspace, [...new Set(breaches.flatMap(({ probes }) => probes))]);
  };
  // Some have changes in common.
  const outcomes = await inForce([...new Set(breaches.flatMap((each) => each.changes))]);
  const { startFails } = group;
  if (typeof outcomes === "string" && startFails?.test(outcomes) !== true)
    console.log(outcomes.slice(0, 2_000));
  for (const { name, probes } of breaches) {
    if (typeof outcomes === "string" || startFails !== undefined) {
      const words = typeof outcomes === "string" ? outcomes : "the bottles came up";
      tell(`${group.name}: ${name}`, startFails?.test(words) === true, words.slice(0, 200));
      continue;
    }
    const blind = probes.filter((id) => (outcomes.get(id) ?? "") === "");
    tell(
      `${group.name}: ${name}`,
      blind.length === 0,
      probes.map((id) => `${id} ${outcomes.get(id)}`).join(", "),
    );
    if (blind.length > 0) console.log(`          held all the same: ${blind.join(", ")}`);
  }
}

const batches = batchesOf(ROOT);
const all = mutantsOf(ROOT).filter(({ name }) => name.includes(only));
const inBatches = batches.flatMap(({ killers }) => [...killers.keys()]).filter((name) => name.includes(only));
const breaches = BREACHES.flatMap((group) => group.breaches.map(({ name }) => `${group.name}: ${name}`));
if (values.list) {
  const mutants = [...inBatches, ...all.map(({ name }) => name)];
  for (const name of values.attack ? breaches.filter((each) => each.includes(only)) : mutants)
    console.log(name);
} else if (values.attack) {
  const workspace = new Workspace(ROOT);
  try {
    const stale = BREACHES.flatMap(({ breaches }) => breaches)
      .flatMap(({ changes }) => changes)
      .flatMap((change) => workspace.faultOf(change) ?? []);
    if (stale.length > 0) throw new Error(`the source has changed under these:\n${stale.join("\n")}`);
    for (const group of BREACHES) await tryBreaches(workspace, group);
  } finally {
    workspace.remove();
  }
  conclude();
} else {
  const isSample = deadline !== Number.POSITIVE_INFINITY;
  console.log(`${inBatches.length + all.length} mutants${isSample ? `, a sample with --seed ${seed}` : ""}`);
  const workspace = new Workspace(ROOT);
  try {
    const stale = [...batches, ...all].flatMap((change) => workspace.faultOf(change) ?? []);
    if (stale.length > 0) throw new Error(`the source has changed under these:\n${stale.join("\n")}`);
    for (const batch of batches) await tryBatch(workspace, batch);
    for (const mutant of isSample ? shuffled(all, random(seed)) : all) {
      if (Date.now() > deadline) break;
      await tryOne(workspace, mutant);
    }
  } finally {
    workspace.remove();
  }
  conclude();
}

function conclude(): void {
  console.log(`${killed} killed, ${survivors.length} survived`);
  for (const name of survivors) console.log(`  ${name}`);
  process.exitCode = survivors.length === 0 ? 0 : 1;
}
