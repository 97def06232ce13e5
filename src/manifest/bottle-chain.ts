/** A bottle with all that it extends: read, checked as a whole, merged into what a plan is made from. */
import type { ImageSource } from "../contract/image.ts";
import type { BackendName, BundlePlacement, IsolationLevel } from "../contract/isolation.ts";
import type { PlannedEnv, PlannedMount, PlannedSupervise } from "../contract/plan.ts";
import type {
  EgressLimits,
  EgressLogLevel,
  OwnRule,
  PresetName,
  Route,
  UpstreamProxyPlace,
} from "../contract/policy.ts";
import type { PlannedRepo } from "../contract/repository.ts";
import { unreachable } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";
import { quoted } from "../lib/parsed.ts";
import type { Bottle } from "./bottle-schema.ts";
import { builtInBottle } from "./built-ins.ts";
import { type ChainFinding, followExtends, MAX_BOTTLES } from "./chain.ts";
import { expandHome, hostPathFaults } from "./host-paths.ts";
import type { IndexEntry, ManifestIndex } from "./index-scan.ts";
import { type ChainLink, mergeChain, parentsOf } from "./merge.ts";
import type { ObjectFile } from "./object-file.ts";
import { openObject } from "./open-object.ts";
import { ManifestError, type Path, type Problem, suggestion } from "./problem.ts";
import { type RepositoryFault, repositoriesOf } from "./repositories.ts";

/** What an agent without `agent_provider` runs. */
const DEFAULT_TEMPLATE = "claude";

export interface LoadedBottle {
  readonly name: string;
  /** Of the whole chain, parents first; none for a built-in bottle. */
  readonly files: readonly string[];
  readonly env: readonly PlannedEnv[];
  readonly routes: readonly Route[];
  readonly presets: readonly PresetName[];
  readonly limits?: EgressLimits;
  readonly log?: EgressLogLevel;
  readonly upstreamProxy?: UpstreamProxyPlace;
  readonly pipelock?: true;
  readonly rules: readonly OwnRule[];
  /** Absolute host paths. */
  readonly upstreamCa: readonly string[];
  readonly git: { readonly name?: string; readonly email?: string };
  readonly repos: readonly PlannedRepo[];
  readonly template: string;
  readonly command?: readonly string[];
  /** `from` is an absolute host path. */
  readonly mounts: readonly PlannedMount[];
  readonly resources: {
    readonly cpus?: number;
    readonly memoryBytes?: number;
    readonly diskBytes?: number;
  };
  /** Its path, where it has one, is absolute. */
  readonly image?: ImageSource;
  readonly supervise?: PlannedSupervise;
  readonly isolation?: IsolationLevel;
  readonly backend?: BackendName;
  readonly bundle?: BundlePlacement;
  readonly hostServices?: readonly number[];
  readonly repoAgents: boolean;
}

interface Link extends ChainLink {
  readonly problemAt: (path: Path, message: string) => Problem;
}

/** @throws ManifestError with every problem of every file in the chain. */
export function bottleOf(index: ManifestIndex, entry: IndexEntry): LoadedBottle {
  const opened = new Map<string, ObjectFile<"bottle">>();
  const links = new Map<string, Link>();

  function parents(name: string): readonly string[] | undefined {
    const found = index.bottles.find((each) => each.name === name);
    if (found === undefined) return undefined;
    const bottle = read(found);
    return bottle === undefined ? [] : parentsOf(bottle);
  }

  function read(found: IndexEntry): Bottle | undefined {
    const { name, file: path } = found;
    if (path === undefined) {
      const problemAt = builtInProblem(name);
      links.set(name, { name, bottle: builtInBottle(), problemAt });
      return builtInBottle();
    }
    const file = opened.get(name) ?? openObject(index, "bottle", found, path);
    opened.set(name, file);
    if (file.value !== undefined) links.set(name, { name, bottle: file.value, problemAt: file.problemAt });
    return file.value;
  }

  const chain = followExtends(entry.name, parents);
  const problems = [
    ...[...opened.values()].flatMap((file) => [...file.problems, ...file.unsupported]),
    ...chain.findings.flatMap((finding) => explainFinding(index, links, finding)),
    ...[...links.values()].flatMap(({ bottle, problemAt }) =>
      hostPathFaults(bottle, index).map((fault) => problemAt(fault.path, fault.message)),
    ),
  ];
  const ordered = chain.order.flatMap((name) => links.get(name) ?? []);
  const chosen = ordered.at(-1);
  if (problems.length > 0 || chosen === undefined) throw new ManifestError(problems);

  const merged = mergeChain(ordered);
  const { repos, faults } = repositoriesOf(merged, index.userHome);
  const conflicts = [
    ...conflictsIn(merged, ordered, chosen),
    ...faults.map((fault) => problemOfRepository(ordered, chosen, fault)),
  ];
  if (conflicts.length > 0) throw new ManifestError(conflicts);
  const files = chain.order.flatMap((name) => opened.get(name)?.file ?? []);
  return { ...settled(entry.name, files, merged, index.userHome), repos };
}

/** Told where the key stands, or where the repository was last spoken of. */
function problemOfRepository(
  links: readonly Link[],
  chosen: Link,
  { path, message }: RepositoryFault,
): Problem {
  const says =
    (length: number) =>
    (link: Link): boolean =>
      hasKey(link.bottle, path.slice(0, length));
  const link = links.findLast(says(path.length)) ?? links.findLast(says(REPOSITORY_DEPTH)) ?? chosen;
  return link.problemAt(path, message);
}

/** git-gate.repos.<name> */
const REPOSITORY_DEPTH = 3;

function hasKey(value: unknown, path: Path): boolean {
  const [key, ...rest] = path;
  if (key === undefined) return true;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return false;
  return hasKey(Object.getOwnPropertyDescriptor(value, key)?.value, rest);
}

function builtInProblem(name: string) {
  return (path: Path, message: string): Problem => ({
    file: `(built-in bottle ${name})`,
    line: 1,
    column: 1,
    key: path.join("."),
    message,
  });
}

function explainFinding(
  index: ManifestIndex,
  links: ReadonlyMap<string, Link>,
  finding: ChainFinding,
): Problem[] {
  const heir = links.get(finding.heir);
  if (heir === undefined) return [];
  const path = Array.isArray(heir.bottle.extends) ? ["extends", finding.parent] : ["extends"];
  return [heir.problemAt(path, chainMessage(index, finding))];
}

function chainMessage(index: ManifestIndex, { fault }: ChainFinding): string {
  switch (fault.kind) {
    case "cycle":
      return `leads back to itself: ${fault.chain.join(" -> ")}`;
    case "too-long":
      return `makes a chain of more than ${MAX_BOTTLES} bottles`;
    case "missing": {
      const names = index.bottles.map((each) => each.name);
      const meant = suggestion(didYouMean(fault.name, names));
      const there = `there are: ${names.join(", ")}`;
      return `there is no bottle ${quoted(fault.name)} (${fault.chain.join(" -> ")})${meant}; ${there}`;
    }
    default:
      return unreachable(fault);
  }
}

/** What no single file can tell: two parents that say different things about one thing. */
function conflictsIn(merged: Bottle, links: readonly Link[], chosen: Link): Problem[] {
  const names = (has: (bottle: Bottle) => boolean): string =>
    links
      .filter((link) => has(link.bottle))
      .map((link) => link.name)
      .join(", ");
  const hosts = repeated(merged.egress?.routes?.map((route) => route.host) ?? []).map((host) => {
    const where = names((bottle) => bottle.egress?.routes?.some((route) => route.host === host) ?? false);
    const message = `brings different routes for ${host} together (from ${where}): write egress in ${chosen.name}`;
    return chosen.problemAt(["extends"], message);
  });
  const targets = repeated(merged.mounts?.map((mount) => mount.to) ?? []).map((to) => {
    const where = names((bottle) => bottle.mounts?.some((mount) => mount.to === to) ?? false);
    const message = `brings different mounts at ${quoted(to)} together (from ${where}): write mounts in ${chosen.name}`;
    return chosen.problemAt(["extends"], message);
  });
  return [...hosts, ...targets, ...twoSystems(merged, links, chosen)];
}

function twoSystems({ image, agent_provider }: Bottle, links: readonly Link[], chosen: Link): Problem[] {
  if (image === undefined || agent_provider?.dockerfile === undefined) return [];
  const path = ["agent_provider", "dockerfile"];
  const link = links.findLast(({ bottle }) => hasKey(bottle, path)) ?? chosen;
  return [link.problemAt(path, "and image both say what the guest's system is: take one of them out")];
}

function repeated(items: readonly string[]): string[] {
  return [...new Set(items.filter((item, i) => items.indexOf(item) !== i))];
}

function settled(
  name: string,
  files: readonly string[],
  bottle: Bottle,
  userHome: string,
): Omit<LoadedBottle, "repos"> {
  const { egress, resources, agent_provider: provider } = bottle;
  return {
    name,
    files,
    env: Object.entries(bottle.env ?? {}).map(([variable, entry]) => ({
      name: variable,
      source: entry.source,
      ...(entry.to === undefined ? {} : { to: entry.to }),
    })),
    routes: egress?.routes ?? [],
    presets: egress?.presets ?? [],
    ...(egress?.limits === undefined ? {} : { limits: egress.limits }),
    ...(egress?.log === undefined ? {} : { log: egress.log }),
    ...(egress?.upstream_proxy === undefined ? {} : { upstreamProxy: egress.upstream_proxy }),
    ...(egress?.pipelock === true && { pipelock: true as const }),
    rules: egress?.rules ?? [],
    upstreamCa: egress?.upstream_ca?.map((path) => expandHome(path, userHome)) ?? [],
    git: bottle["git-gate"]?.user ?? {},
    template: provider?.template ?? DEFAULT_TEMPLATE,
    ...(provider?.command === undefined ? {} : { command: provider.command }),
    mounts: bottle.mounts?.map(({ from, to }) => ({ from: expandHome(from, userHome), to })) ?? [],
    resources: {
      ...(resources?.cpus === undefined ? {} : { cpus: resources.cpus }),
      ...(resources?.memory === undefined ? {} : { memoryBytes: resources.memory }),
      ...(resources?.disk === undefined ? {} : { diskBytes: resources.disk }),
    },
    ...imageOf(bottle, userHome),
    ...(bottle.supervise === undefined ? {} : { supervise: bottle.supervise }),
    ...(bottle.isolation === undefined ? {} : { isolation: bottle.isolation }),
    ...(bottle.backend === undefined ? {} : { backend: bottle.backend }),
    ...(bottle.bundle === undefined ? {} : { bundle: bottle.bundle }),
    ...(bottle.host_services === undefined ? {} : { hostServices: bottle.host_services }),
    repoAgents: bottle.repo_agents ?? false,
  };
}

function imageOf({ image, agent_provider }: Bottle, userHome: string): Pick<LoadedBottle, "image"> {
  const path = agent_provider?.dockerfile;
  const said: ImageSource | undefined = path === undefined ? image : { kind: "dockerfile", path };
  if (said === undefined) return {};
  return { image: "path" in said ? { ...said, path: expandHome(said.path, userHome) } : said };
}
