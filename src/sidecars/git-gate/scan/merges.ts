/**
 * What merges take back. Against all of its parents at once (changes.ts) a merge that leaves a path as one of them has it
 * changes nothing: so with an old commit of upstream's for a parent it could bring back any state that a protected path
 * ever had. It counts as the merge's own change where a side had changed the path since the sides parted, and the merge
 * has something else there than that side.
 */
import { LIMITS } from "../limits.ts";
import { type Change, readChanges } from "./changes.ts";
import { listDifference } from "./listing.ts";
import type { Look } from "./look.ts";

export interface PushMerges {
  /** A path in which a merge differs from one of its parents. */
  take(change: Change): boolean;
  /** Each against the parent whose change is lost. */
  takenBack(): AsyncGenerator<Change, void, void>;
}

/** @param matters whether anybody would judge such a change: only merges that have one are looked at closely. */
export function inspectMerges(look: Look, matters: (change: Change) => boolean): PushMerges {
  const { git, place, signal, budget } = look;
  const merges = new Set<string>();

  /** The words of one line of git's; none when it has nothing to say. */
  async function words(args: readonly string[]): Promise<readonly string[]> {
    const { code, stdout, stderr } = await git.run(place, args, { signal, timeoutMs: LIMITS.inspectMs });
    if (code > 1) throw new Error(`git ${args[0]} exited ${code}: ${stderr.slice(-500)}`);
    return stdout.toString("latin1").split(/\s+/).filter(Boolean);
  }

  async function changesOf(commit: string, since: string, take: (change: Change) => boolean): Promise<void> {
    const running = listDifference(git, place, { commit, since, paths: look.limits.files }, signal);
    try {
      await readChanges(running.stdout, [take]);
    } finally {
      running.kill();
      await running.ended;
    }
  }

  async function* takenBackBy(merge: string): AsyncGenerator<Change, void, void> {
    const [, ...parents] = await words(["rev-list", "--no-walk", "--parents", merge, "--"]);
    if (parents.length < 2) throw new Error("git does not show the parents of a merge");
    // Of more than two: where they all parted.
    const bases = await words([
      "merge-base",
      "--all",
      ...(parents.length > 2 ? ["--octopus"] : []),
      ...parents,
    ]);
    for (const parent of parents) {
      const lost = new Map<string, Change>();
      await changesOf(merge, parent, (change) => {
        if (matters(change)) lost.set(change.path, change);
        return lost.size <= LIMITS.rulesFiles;
      });
      if (lost.size > LIMITS.rulesFiles) throw new Error("a merge changes too many files that are judged");
      for (const base of bases) {
        if (lost.size === 0) break;
        const changed = new Set<string>();
        await changesOf(parent, base, ({ path }) => {
          if (lost.has(path)) changed.add(path);
          return true;
        });
        for (const path of [...lost.keys()]) if (!changed.has(path)) lost.delete(path);
      }
      yield* lost.values();
    }
  }

  return {
    take(change) {
      if (matters(change)) merges.add(change.commit);
      return budget.refusal === undefined;
    },
    async *takenBack() {
      for (const merge of merges) yield* takenBackBy(merge);
    },
  };
}
