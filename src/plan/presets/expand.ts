/** From the names of presets to routes, and what the guest must know to use them. Pure. */
import type { PlannedPreset } from "../../contract/plan.ts";
import type { PresetName, Route } from "../../contract/policy.ts";
import { UserError } from "../../lib/errors.ts";
import { crates } from "./crates.ts";
import { debian } from "./debian.ts";
import { githubRead } from "./github-read.ts";
import { go } from "./go.ts";
import { npm } from "./npm.ts";
import { pypi } from "./pypi.ts";
import type { Expansion, OperatorSetup } from "./setup.ts";

const PRESETS: Readonly<Record<PresetName, (setup: OperatorSetup) => Expansion>> = {
  npm,
  pypi,
  crates,
  go,
  debian,
  "github-read": githubRead,
};

export interface ExpandedPresets {
  /** One a host. */
  readonly routes: readonly Route[];
  readonly presets: readonly PlannedPreset[];
  readonly warnings: readonly string[];
}

/** @throws UserError when the operator's setup leads where no guest can go. */
export function expandPresets(names: readonly PresetName[], setup: OperatorSetup): ExpandedPresets {
  const expanded = [...new Set(names)].map((name) => ({ name, ...PRESETS[name](setup) }));
  return {
    routes: oneForEachHost(expanded.flatMap(({ routes }) => routes)),
    presets: expanded.map(({ name, from, routes, env, files }) => ({
      name,
      from,
      hosts: [...new Set(routes.map(({ host }) => host))],
      env,
      files,
    })),
    warnings: expanded.flatMap(({ warnings }) => warnings),
  };
}

/** Two presets, or two archives, may share a host: what either allows is allowed. */
function oneForEachHost(routes: readonly Route[]): readonly Route[] {
  const byHost = new Map<string, Route>();
  for (const route of routes) {
    const known = byHost.get(route.host);
    if (known !== undefined && JSON.stringify(known.connectTo) !== JSON.stringify(route.connectTo)) {
      throw new UserError(`your setup has registries on two ports of ${route.host}, and a route has one`, {
        hint: "leave one of the presets out, and write a route for it under another host with connect_to",
      });
    }
    const matches = [...(known?.matches ?? []), ...route.matches];
    const distinct = [...new Map(matches.map((match) => [JSON.stringify(match), match])).values()];
    byHost.set(route.host, { ...route, matches: distinct });
  }
  return [...byHost.values()];
}
