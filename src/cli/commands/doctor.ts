/**
 * `bottle doctor`: what this host can do, what is missing, and the exact command that adds it. `--deep` besides tries to
 * get out of a bottle of the backend that would be taken.
 */
import { allBackends, chooseBackend } from "../../backends/registry.ts";
import type { Lack } from "../../contract/backend.ts";
import { recipeLacks } from "../../image/built-in-recipe.ts";
import { cacheOf, homeOf } from "../../lib/paths.ts";
import { providerNamed, providerNames } from "../../providers/registry.ts";
import { interruption } from "../interruption.ts";
import { inEnvironment } from "../launch-order.ts";
import { homeFault } from "../operator-home.ts";
import { print, printJson, progressLine } from "../output.ts";

interface Finding {
  readonly part: string;
  readonly state: "ok" | "weaker" | "missing" | "failed";
  readonly detail: string;
  readonly lacks: readonly Lack[];
}

export async function doctor(flags: { readonly json?: true; readonly deep?: true }): Promise<number> {
  const findings: Finding[] = [nodeFinding(), ...homeFindings()];
  for (const backend of await allBackends()) {
    const found = await backend.probe();
    findings.push({
      part: `backend ${backend.name}`,
      state: !found.usable ? "missing" : found.lacks.length > 0 ? "weaker" : "ok",
      detail: found.usable ? `${found.isolation}: ${found.strength}` : "cannot be used here",
      lacks: found.lacks,
    });
  }
  findings.push(imageFinding());
  for (const name of providerNames) findings.push(providerFinding(name));
  const usable = findings.some(({ part, state }) => part.startsWith("backend") && state !== "missing");
  if (flags.deep && usable) findings.push(await attackFinding());
  if (flags.json) printJson({ usable, home: homeOf().root, cache: cacheOf(), findings });
  else printFindings(findings);
  return usable && !findings.some(({ state }) => state === "failed") ? 0 : 1;
}

/** Each probe that did not hold is told as what is missing. */
async function attackFinding(): Promise<Finding> {
  const { attack, countsOf } = await import("../../attack/attack.ts");
  const { backend } = await chooseBackend({ environment: process.env["BOT_BOTTLE_BACKEND"] });
  const progress = progressLine();
  progress.show(`attacking a bottle of ${backend.name}, which takes some minutes`);
  const interrupted = interruption();
  const { results, probes, problems, seconds, holds } = await attack({
    ...{ backend: backend.name, only: [], signal: interrupted },
    onResult: () => progress.show(`attacking a bottle of ${backend.name}`),
  }).finally(() => progress.clear());
  interrupted.throwIfAborted();
  return {
    part: `attack ${backend.name}`,
    state: holds ? "ok" : "failed",
    detail: `${results.length} of ${probes} probes tried: ${countsOf(results)}, in ${seconds} s; bottle attack shows each`,
    lacks: [
      ...problems.map((problem) => ({ what: problem, remedy: "bottle attack" })),
      ...results
        .filter((result) => !result.held)
        .map(({ id, why = "" }) => ({ what: `${id}: ${why}`, remedy: `bottle attack --only ${id}` })),
    ],
  };
}

function nodeFinding(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  return {
    part: "node",
    state: fits ? "ok" : "missing",
    detail: `${process.version}, home ${homeOf().root}`,
    lacks: fits
      ? []
      : [
          {
            what: "Node 20.19 or newer",
            remedy: "install it from your distribution or with a version manager",
          },
        ],
  };
}

/** None where it is as it should be. */
function homeFindings(): readonly Finding[] {
  const fault = homeFault();
  if (fault === undefined) return [];
  const lack = { what: "a home that only you can write", remedy: fault };
  return [{ part: "home", state: "failed", detail: "others could change what agents may do", lacks: [lack] }];
}

/** What guests with a disk of their own boot from when their bottle names nothing else. */
function imageFinding(): Finding {
  const lacks = recipeLacks();
  return {
    part: "image built-in",
    state: lacks.length === 0 ? "ok" : "missing",
    detail: lacks.length === 0 ? "can be made here" : "cannot be made here; others can: bottle image --help",
    lacks,
  };
}

function providerFinding(name: string): Finding {
  const { credentials } = providerNamed(name);
  const there = credentials.find(({ tokenRef }) => inEnvironment(tokenRef));
  if (credentials.length === 0)
    return { part: `provider ${name}`, state: "ok", detail: "needs no credential", lacks: [] };
  return {
    part: `provider ${name}`,
    state: there === undefined ? "missing" : "ok",
    detail: there === undefined ? "no credential in the environment" : `${there.tokenRef} is set`,
    lacks:
      there === undefined
        ? credentials.map(({ tokenRef, howToGet }) => ({ what: tokenRef, remedy: howToGet }))
        : [],
  };
}

function printFindings(findings: readonly Finding[]): void {
  const width = Math.max(...findings.map(({ part }) => part.length));
  for (const { part, state, detail, lacks } of findings) {
    print(`${state.padEnd(7)}  ${part.padEnd(width)}  ${detail}`);
    for (const { what, remedy } of lacks)
      print(
        `${" ".repeat(width + 11)}${state === "failed" ? "failed" : "missing"} ${what}\n${" ".repeat(width + 11)}  ${remedy}`,
      );
  }
}
