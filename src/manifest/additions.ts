/** What is added to one bottle beside its manifest, held to the manifest's own rules. */
import type { PlannedEnv, PlannedMount } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";
import type { Home } from "../lib/paths.ts";
import { bottleSchema } from "./bottle-schema.ts";
import { expandHome, hostPathFaults } from "./host-paths.ts";

export interface Additions {
  readonly env: readonly PlannedEnv[];
  readonly mounts: readonly PlannedMount[];
}

/**
 * @param wanted in the words of a manifest.
 * @throws UserError with everything that a manifest would be refused for.
 */
export function parseAdditions(
  wanted: {
    readonly env: Readonly<Record<string, { readonly from: string } | { readonly ask: string }>>;
    readonly mounts: readonly PlannedMount[];
  },
  where: { readonly home: Home; readonly userHome: string },
): Additions {
  const parsed = bottleSchema.safeParse(wanted);
  if (!parsed.success) {
    throw refused(parsed.error.issues.flatMap((issue) => messagesOf(issue, issue.path)));
  }
  const faults = hostPathFaults(parsed.data, where);
  if (faults.length > 0) throw refused(faults.map(({ path, message }) => `${path.join(".")}: ${message}`));
  return {
    env: Object.entries(parsed.data.env ?? {}).map(([name, entry]) => ({ name, ...entry })),
    mounts: (parsed.data.mounts ?? []).map(({ from, to }) => ({
      from: expandHome(from, where.userHome),
      to,
    })),
  };
}

type Issue = import("zod").core.$ZodIssue;

function messagesOf(issue: Issue, path: readonly PropertyKey[]): readonly string[] {
  // A key that is refused says so within.
  if (issue.code === "invalid_key") return issue.issues.map((each) => `${path.join(".")}: ${each.message}`);
  return [`${path.join(".")}: ${issue.message}`];
}

function refused(problems: readonly string[]): UserError {
  return new UserError(problems.join("\n       "), {
    hint: "docs/manifest.md says what env and mounts take",
  });
}
