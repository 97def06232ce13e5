/** `bottle attack`: tries to get out of a real bottle in every way that we know, and says what came of each. */
import { type AttackReport, countsOf, attack as run } from "../../attack/attack.ts";
import { expectationOf } from "../../attack/judge.ts";
import { junit } from "../../attack/junit.ts";
import { probesFor } from "../../attack/probes/all.ts";
import type { ProbeResult } from "../../attack/runner.ts";
import { allBackends, chooseBackend } from "../../backends/registry.ts";
import type { BackendName } from "../../contract/isolation.ts";
import { UserError } from "../../lib/errors.ts";
import { interruption } from "../interruption.ts";
import { print, printJson, printTable, progressLine, style, tell } from "../output.ts";

export interface AttackFlags {
  readonly backend?: string;
  readonly only?: readonly string[];
  readonly json?: true;
  readonly junit?: true;
  readonly list?: true;
}

/** @returns 0 when every probe was tried and held, else 3. @throws UserError when it was interrupted. */
export async function attack(flags: AttackFlags): Promise<number> {
  if (flags.json && flags.junit)
    throw new UserError("--json and --junit are two forms of one report", { hint: "ask for one" });
  if (flags.list) return listProbes(flags);
  const isForPeople = !flags.json && !flags.junit;
  const chosen = await backendsFor(flags.backend);
  const interrupted = interruption();
  const reports: AttackReport[] = [];
  for (const backend of chosen) {
    if (interrupted.aborted) break;
    reports.push(await follow(backend, flags.only ?? [], isForPeople, interrupted));
  }
  if (flags.json) printJson({ holds: reports.every(({ holds }) => holds), reports });
  if (flags.junit) process.stdout.write(junit(reports));
  interrupted.throwIfAborted();
  return reports.length > 0 && reports.every(({ holds }) => holds) ? 0 : 3;
}

/** What would be tried, on whatever backend; nothing is. */
function listProbes({ only = [], json, junit }: AttackFlags): number {
  if (junit)
    throw new UserError("--junit is a form of what came of probes, and --list tries none", {
      hint: "bottle attack --list --json",
    });
  const { probes } = probesFor(only);
  if (json) {
    printJson(
      probes.map((probe) => {
        const { id, invariant, group, tries, otherwise = [], controlOtherwise = [] } = probe;
        const stated = [...otherwise, ...controlOtherwise].map(({ because }) => because);
        return { id, invariant, group, tries, expected: expectationOf(probe), stated: [...new Set(stated)] };
      }),
    );
  } else {
    printTable(
      ["PROBE", "HOLDS", "TRIES"],
      probes.map(({ id, invariant, tries }) => [id, invariant, tries]),
    );
  }
  return 0;
}

async function backendsFor(asked: string | undefined): Promise<readonly BackendName[]> {
  if (asked !== "all") {
    const { backend } = await chooseBackend({ flag: asked, environment: process.env["BOT_BOTTLE_BACKEND"] });
    return [backend.name];
  }
  const probed = await Promise.all(
    (await allBackends()).map(async (backend) => ({
      name: backend.name,
      usable: (await backend.probe()).usable,
    })),
  );
  const usable = probed.filter((each) => each.usable).map(({ name }) => name);
  if (usable.length === 0) throw new UserError("no backend can run a bottle here", { hint: "bottle doctor" });
  for (const { name } of probed.filter((each) => !each.usable))
    tell(`${name} cannot be used here: bottle doctor says why`);
  return usable;
}

async function follow(
  backend: BackendName,
  only: readonly string[],
  isForPeople: boolean,
  signal: AbortSignal,
): Promise<AttackReport> {
  const progress = progressLine();
  progress.show(`attacking a bottle of ${backend}`);
  signal.addEventListener("abort", () => progress.show("interrupted: ending what was begun"));
  const report = await run({
    ...{ backend, only, signal },
    onProgress: (text) => progress.show(text),
    onResult: (result) => {
      progress.clear();
      if (isForPeople) printResult(result);
    },
  });
  progress.clear();
  if (isForPeople) printSummary(report);
  return report;
}

const ID_WIDTH = 36;
const SEEN_WIDTH = 44;

function printResult({
  id,
  invariant,
  outcome,
  why,
  seen,
  seconds,
  refusalSeconds,
  expected,
  control,
  held,
}: ProbeResult): void {
  const state = outcome === "held" ? "held  " : outcome === "stated" ? "stated" : "FAILED";
  const columns = [
    style(held ? "green" : "red", state),
    invariant.padEnd(3),
    id.padEnd(ID_WIDTH),
    seen.slice(0, SEEN_WIDTH).padEnd(SEEN_WIDTH),
    `${seconds.toFixed(3)} s`.padStart(9),
    refusalSeconds === null ? "" : `${refusalSeconds.toFixed(3)} s`.padStart(9),
  ];
  print(columns.join("  ").trimEnd());
  if (why !== undefined) print(`        ${why}`);
  if (!held) print(`        expected ${expected}; control ${control}`);
}

function printSummary(report: AttackReport): void {
  const { backend, results, probes, problems, seconds, capabilities, holds } = report;
  const missing = Object.entries(capabilities ?? {}).flatMap(([name, has]) => (has ? [] : [name]));
  print("");
  for (const problem of problems) print(`${style("red", "problem:")} ${problem}`);
  if (capabilities !== null && !capabilities.outerNetwork)
    print("no network without a way out could be made: impostors stood on this host's own addresses");
  if (missing.length > 0) print(`without: ${missing.join(", ")}`);
  print(`${backend}: ${results.length} of ${probes} probes tried, ${countsOf(results)}; ${seconds} s`);
  print(holds ? "nothing got out" : "something is wrong: see above");
}
