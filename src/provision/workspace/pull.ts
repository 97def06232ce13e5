/**
 * The agent's work into the operator's repository: as refs beside theirs, and nothing else. Contract: no hook or
 * program runs, no branch, index, working tree or FETCH_HEAD of theirs is touched, every object is checked
 * once more, and doing it again changes nothing.
 */
import { UserError } from "../../lib/errors.ts";
import { isBottleId } from "../../lib/names.ts";
import { shellQuoted } from "../shell-quoted.ts";
import { type GitPlace, gitOk } from "./host-git.ts";
import { OLD_FAULTS } from "./receive-pack.ts";
import { type HostRepository, repositoryAt } from "./repository.ts";
import { readWork, workPrefix } from "./work.ts";

export interface PulledRef {
  readonly name: string;
  readonly oid: string;
  readonly state: "created" | "moved" | "unchanged";
}

export interface PullReport {
  /** Top of the operator's working tree. */
  readonly repository: string;
  readonly refs: readonly PulledRef[];
  /** What to run next, ready to be copied. */
  readonly usage: readonly { readonly purpose: string; readonly command: string }[];
}

/** Fetches `refs/bottles/<id>/*`. @throws UserError when `operatorFolder` is in no repository, or git refuses. */
export async function pullWork(workDir: string, id: string, operatorFolder: string): Promise<PullReport> {
  const repository = await operatorRepository(operatorFolder, id);
  const prefix = await workOf(workDir, id);
  const wanted = await refsBelow({ kind: "ours", gitDir: workDir }, prefix);
  const before = await refsBelow(repository.place, prefix);
  refuseInTheWay([...before.keys()], [...wanted.keys()]);
  if (wanted.size > 0) await fetch(repository, workDir, prefix);
  const refs = [...wanted].map(([name, oid]): PulledRef => {
    const earlier = before.get(name);
    return { name, oid, state: earlier === undefined ? "created" : earlier === oid ? "unchanged" : "moved" };
  });
  return { repository: repository.root, refs, usage: usageOf(refs, prefix) };
}

/** Whether the operator's repository has every ref of the last export, as it is there. */
export async function isPulled(workDir: string, id: string, operatorFolder: string): Promise<boolean> {
  const repository = await operatorRepository(operatorFolder, id);
  const prefix = await workOf(workDir, id);
  const wanted = await refsBelow({ kind: "ours", gitDir: workDir }, prefix);
  const there = await refsBelow(repository.place, prefix);
  return [...wanted].every(([name, oid]) => there.get(name) === oid);
}

async function workOf(workDir: string, id: string): Promise<string> {
  if (!isBottleId(id)) throw new Error(`no bottle id: ${id}`);
  if ((await readWork(workDir)) === undefined) throw new UserError(`no work was taken out of ${id} yet`);
  return workPrefix(id);
}

async function operatorRepository(folder: string, id: string): Promise<HostRepository> {
  const repository = await repositoryAt(folder);
  if (repository !== undefined) return repository;
  throw new UserError(`${folder} is not in a git repository`, {
    hint: `run it in one (\`git init\` makes one), or keep the work as a patch: bottle diff ${id} > work.patch`,
  });
}

async function refsBelow(place: GitPlace, prefix: string): Promise<ReadonlyMap<string, string>> {
  const listed = await gitOk(place, ["for-each-ref", "--format=%(objectname) %(refname)", `${prefix}/`]);
  return new Map(
    listed
      .toString("utf8")
      .split("\n")
      .flatMap((line) => {
        const [oid, name] = line.split(" ");
        return oid === undefined || name === undefined ? [] : [[name, oid] as const];
      }),
  );
}

/** More than a few are nobody's honest work, and the next try names the next. */
const MAX_NAMED = 3;

/**
 * git keeps no ref `a` beside a ref `a/b`, and the agent may have renamed the one to the other since. What was pulled
 * then may be all there is of it: only the operator gives it up.
 */
function refuseInTheWay(there: readonly string[], wanted: readonly string[]): void {
  const inTheWay = there.filter((name) =>
    wanted.some((other) => other.startsWith(`${name}/`) || name.startsWith(`${other}/`)),
  );
  if (inTheWay.length === 0) return;
  const named = inTheWay.slice(0, MAX_NAMED);
  const which = `${named.join(" and ")}${inTheWay.length > named.length ? " and others" : ""}`;
  throw new UserError(`${which}, pulled earlier, cannot stand beside the names of what is there now`, {
    hint: `to give up what was pulled then: ${named.map((name) => `git update-ref -d ${shellQuoted(name)}`).join(" && ")}`,
  });
}

async function fetch(repository: HostRepository, workDir: string, prefix: string): Promise<void> {
  const only = [
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-prune",
    "--no-auto-gc",
    "--atomic",
  ];
  await gitOk(repository.place, ["fetch", "--quiet", ...only, "--", workDir, `+${prefix}/*:${prefix}/*`], {
    config: {
      "fetch.fsckObjects": "true",
      "fetch.writeCommitGraph": "false",
      ...Object.fromEntries(OLD_FAULTS.map((fault) => [`fetch.fsck.${fault}`, "ignore"])),
    },
    env: { GIT_ALLOW_PROTOCOL: "file" },
  });
}

/** Names are ours, or were checked; they are quoted all the same. */
function usageOf(refs: readonly PulledRef[], prefix: string): PullReport["usage"] {
  const short = (name: string): string => shellQuoted(name.slice("refs/".length));
  const usage = refs.flatMap(({ name }) => {
    if (name.startsWith(`${prefix}/heads/`)) {
      return [
        {
          purpose: `look at ${name.slice(`${prefix}/heads/`.length)}`,
          command: `git log -p HEAD..${short(name)}`,
        },
        { purpose: `take ${name.slice(`${prefix}/heads/`.length)}`, command: `git merge ${short(name)}` },
      ];
    }
    if (name === `${prefix}/uncommitted`) {
      return [
        { purpose: "look at what the agent did not commit", command: `git show ${short(name)}` },
        { purpose: "take it", command: `git cherry-pick --no-commit ${short(name)}` },
      ];
    }
    return [];
  });
  const remove = `git for-each-ref --format='delete %(refname)' ${shellQuoted(prefix)} | git update-ref --stdin`;
  return refs.length === 0 ? [] : [...usage, { purpose: "forget all of it", command: remove }];
}
