/** `bottle doctor`: what this host can do, what is missing, and the exact command that adds it. */
import { backends } from "../../backends/registry.ts";
import type { Lack } from "../../contract/backend.ts";
import { BACKEND_NAMES } from "../../contract/isolation.ts";
import { cacheOf, homeOf } from "../../lib/paths.ts";
import { providerNamed, providerNames } from "../../providers/registry.ts";
import { inEnvironment } from "../launch-order.ts";
import { print, printJson } from "../output.ts";

interface Finding {
  readonly part: string;
  readonly state: "ok" | "weaker" | "missing";
  readonly detail: string;
  readonly lacks: readonly Lack[];
}

export async function doctor(flags: { readonly json?: true }): Promise<number> {
  const findings: Finding[] = [nodeFinding()];
  for (const backend of backends) {
    const found = await backend.probe();
    findings.push({
      part: `backend ${backend.name}`,
      state: !found.usable ? "missing" : found.lacks.length > 0 ? "weaker" : "ok",
      detail: found.usable ? `${found.isolation}: ${found.strength}` : "cannot be used here",
      lacks: found.lacks,
    });
  }
  for (const name of BACKEND_NAMES) {
    if (backends.some((backend) => backend.name === name)) continue;
    findings.push({ part: `backend ${name}`, state: "missing", detail: "not supported yet", lacks: [] });
  }
  for (const name of providerNames) findings.push(providerFinding(name));
  const usable = findings.some(({ part, state }) => part.startsWith("backend") && state !== "missing");
  if (flags.json) printJson({ usable, home: homeOf().root, cache: cacheOf(), findings });
  else printFindings(findings);
  return usable ? 0 : 1;
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
      print(`${" ".repeat(width + 11)}missing ${what}\n${" ".repeat(width + 11)}  ${remedy}`);
  }
}
