/**
 * What makes the gate the only remote of the guest's git: every spelling of an upstream leads to it, and each request
 * carries the bottle's bearer. All of it is convenience and none of it a wall: an agent that takes it out reaches
 * nothing at all. The bearer is worth nothing outside of this bottle's link, and stands in a file, so that it is in no
 * argument list.
 */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";
import type { PlannedRepo } from "../contract/repository.ts";
import { spellingsOf } from "../plan/upstream-url.ts";
import { type ConfigSection, renderGitConfig } from "./git-config.ts";

export interface GateAccess {
  /** `http://127.0.0.1:9420`, without a slash at the end. */
  readonly url: string;
  readonly bearer: string;
  readonly repos: readonly PlannedRepo[];
}

/** Read by way of the agent's `~/.gitconfig`, and written anew at each launch. */
export const GATE_CONFIG_PATH = `${GUEST.home}/.bottle/git-gate.gitconfig`;

/** What a repository's name may go on with. */
const NAME_CHARACTERS = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."];

/** How a repository is called in the guest whatever the gate's address is: in the config of a copied workspace. */
export function gateName(repo: PlannedRepo): string {
  return `git-gate:${repo.name}`;
}

export function gateConfigFile(gate: GateAccess): PlannedFile {
  return {
    path: GATE_CONFIG_PATH,
    content: renderGitConfig([
      {
        name: "http",
        subsection: `${gate.url}/`,
        values: [
          ["extraHeader", `Authorization: Bearer ${gate.bearer}`],
          // Its own link, which no proxy leads to.
          ["proxy", ""],
        ],
      },
      // A branch goes where its name says; whether it may is the gate's to say, with what may instead.
      {
        name: "push",
        values: [
          ["default", "current"],
          ["autoSetupRemote", "true"],
        ],
      },
      ...rewrites(gate),
    ]),
    mode: 0o600,
  };
}

/**
 * Git replaces the beginning of a URL, the longest that fits: so the neighbours of a repository (`x-docs` of `x`)
 * would be taken to the gate too, which has none. Each way in which a name can go on is therefore written as itself, but
 * where that is the name of another repository behind the gate: of two rules as long as each other git takes the first.
 */
function rewrites({ url: gateUrl, repos }: GateAccess): readonly ConfigSection[] {
  const ownOf = (repo: PlannedRepo): readonly string[] => [
    ...[gateName(repo), `${gateName(repo)}.git`],
    ...spellingsOf(repo.upstream).all,
  ];
  const behind = new Set(repos.flatMap(ownOf));
  const neighbours = repos
    .flatMap(({ upstream }) => spellingsOf(upstream).web)
    .flatMap((url) => NAME_CHARACTERS.map((character) => `${url}${character}`))
    .filter((url) => !behind.has(url));
  return [
    ...repos.map((repo) => ({
      name: "url",
      subsection: `${gateUrl}/${repo.name}.git`,
      values: ownOf(repo).map((url) => ["insteadOf", url] as const),
    })),
    ...neighbours.map((url) => ({ name: "url", subsection: url, values: [["insteadOf", url] as const] })),
  ];
}
