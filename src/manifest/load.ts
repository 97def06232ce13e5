/**
 * Loads one agent with its chain of bottles: nothing else is opened. All problems of all these files are told
 * at once.
 *
 * I5 is decided here: bottles are looked up in the index, which knows none of a repository; a repository's
 * file is read only where it really lies inside the repository, may set no identity and bring in nothing of the
 * operator's own configuration, and runs only in a bottle that says `repo_agents: true` itself.
 */
import type { AgentSource } from "../contract/plan.ts";
import type { UserConfigWish } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";
import { quoted } from "../lib/parsed.ts";
import type { Agent } from "./agent-schema.ts";
import { bottleOf, type LoadedBottle } from "./bottle-chain.ts";
import { builtInAgent } from "./built-ins.ts";
import type { IndexEntry, ManifestIndex } from "./index-scan.ts";
import { type ObjectFile, readObjectFile } from "./object-file.ts";
import type { ManifestKind } from "./object-schema.ts";
import { openObject } from "./open-object.ts";
import { describeProblem, ManifestError, type Problem, suggestion } from "./problem.ts";

export interface LoadedAgent {
  readonly name: string;
  readonly source: AgentSource;
  /** Absent for a built-in agent. */
  readonly file?: string;
  /** sha256 (hex) of the agent file's bytes. */
  readonly contentHash?: string;
  readonly description?: string;
  /** The file's body; may be empty. */
  readonly prompt: string;
  readonly skills: readonly string[];
  /** The bottle's identity with the agent's laid over it. */
  readonly git: { readonly name?: string; readonly email?: string };
  /** What of the operator's own configuration comes along. */
  readonly userConfig?: UserConfigWish;
  readonly bottle: LoadedBottle;
  readonly warnings: readonly string[];
}

/** @throws UserError (mostly {@link ManifestError}) with every problem of the agent and its bottles. */
export function loadAgent(index: ManifestIndex, name: string): LoadedAgent {
  const entry = index.agents.find((each) => each.name === name);
  if (entry === undefined) throw unknownAgent(index, name);
  if (entry.file === undefined) return assemble(index, entry, builtInAgent(), undefined);

  const file = openObject(index, "agent", entry, entry.file);
  const problems = [...file.problems, ...file.unsupported, ...refusedFromRepository(entry, file)];
  if (file.value === undefined || problems.length > 0) throw new ManifestError(problems);
  return assemble(index, entry, file.value, file);
}

function assemble(
  index: ManifestIndex,
  entry: IndexEntry,
  agent: Agent,
  file: ObjectFile<"agent"> | undefined,
): LoadedAgent {
  const problem = (message: string): ManifestError => {
    const site = file?.problemAt(["bottle"], message);
    return new ManifestError([site ?? { file: entry.name, line: 1, column: 1, key: "bottle", message }]);
  };
  const available = `there are: ${index.bottles.map((each) => each.name).join(", ")}`;
  if (agent.bottle === undefined) throw problem(`is missing: name the bottle to run in; ${available}`);
  const bottleEntry = index.bottles.find((each) => each.name === agent.bottle);
  if (bottleEntry === undefined) {
    const meant = didYouMean(
      agent.bottle,
      index.bottles.map((each) => each.name),
    );
    throw problem(`there is no bottle ${quoted(agent.bottle)}${suggestion(meant)}; ${available}`);
  }
  const bottle = bottleOf(index, bottleEntry);
  if (entry.source === "repository" && !bottle.repoAgents) {
    throw problem(
      `an agent that a repository brings runs only in a bottle with repo_agents: true, which ${agent.bottle} has not`,
    );
  }
  return {
    name: entry.name,
    source: entry.source,
    ...(entry.file === undefined ? {} : { file: entry.file }),
    ...(file === undefined ? {} : { contentHash: file.contentHash }),
    ...(agent.description === undefined ? {} : { description: agent.description }),
    prompt: file?.body ?? "",
    skills: [...new Set(agent.skills ?? [])],
    git: { ...bottle.git, ...agent["git-gate"]?.user },
    ...(agent.user_config === undefined ? {} : { userConfig: agent.user_config }),
    bottle,
    warnings: index.warnings,
  };
}

/** Keys of an agent that widen what it may do or have, and why a repository may not write them. */
const NOT_FROM_A_REPOSITORY = {
  // It could pass its commits off as somebody's.
  "git-gate": "the bottle says who commits",
  // It could collect the operator's own instructions and the names of their servers.
  user_config: "what is yours is brought in by a file of yours",
} as const;

function refusedFromRepository(entry: IndexEntry, file: ObjectFile<"agent">): Problem[] {
  if (entry.source !== "repository") return [];
  return (["git-gate", "user_config"] as const)
    .filter((key) => file.value?.[key] !== undefined)
    .map((key) =>
      file.problemAt([key], `is not for an agent that a repository brings: ${NOT_FROM_A_REPOSITORY[key]}`),
    );
}

function unknownAgent(index: ManifestIndex, name: string): UserError {
  const names = index.agents.map((each) => each.name);
  return new UserError(`there is no agent ${quoted(name)}${suggestion(didYouMean(name, names))}`, {
    hint: `there are: ${names.join(", ")}; a new one is a file ${index.home.agents}/<name>.md`,
  });
}

/**
 * Validates one file by itself, for an editor.
 * @returns one line for every key that nothing acts on yet: they become an error once the file is used.
 * @throws ManifestError with every problem of the file.
 */
export function validateFile(kind: ManifestKind, path: string): readonly string[] {
  const file = readObjectFile(kind, path);
  if (file.problems.length > 0) throw new ManifestError(file.problems);
  return file.unsupported.map(describeProblem);
}
