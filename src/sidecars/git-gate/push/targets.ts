/** What the refs of a push would point to, and whether they get there forwards. */
import type { GitUpdate } from "../../../contract/git-gate.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Git, Place } from "../git/run.ts";
import { isZero, type RefGrant } from "../policy/refs.ts";

/** Undefined when all is well. */
export async function judgeTargets(
  git: Git,
  place: Place,
  grants: readonly RefGrant[],
): Promise<Refusal | undefined> {
  const moved = grants.filter(({ update }) => !isZero(update.new));
  if (moved.length === 0) return undefined;
  const stdin = moved.map(({ update }) => `${update.new}\n${update.new}^{commit}\n`).join("");
  const answer = await git.must(place, ["cat-file", "--batch-check=%(objecttype)"], { stdin });
  const types = answer.split("\n");
  for (const [i, { update, force }] of moved.entries()) {
    const refusal =
      judgeTarget(update, types[2 * i] ?? "", types[2 * i + 1] ?? "") ??
      (force ? undefined : await judgeMove(git, place, update));
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function judgeTarget({ ref }: GitUpdate, type: string, peeled: string): Refusal | undefined {
  const isTag = ref.startsWith("refs/tags/") && type === "tag";
  if (peeled === "commit" && (type === "commit" || isTag)) return undefined;
  return refuse(
    "ref-target",
    `${ref} would point to a ${/^[a-z]+$/.test(type) ? type : "missing object"}`,
    "a commit, or a tag of one",
  );
}

async function judgeMove(
  git: Git,
  place: Place,
  { ref, old, new: next }: GitUpdate,
): Promise<Refusal | undefined> {
  if (isZero(old)) return undefined;
  const backwards = refuse(
    "force-not-allowed",
    `${ref} would lose commits that the upstream has`,
    "fast-forward only",
  );
  // A tag stands for one thing, whatever descends from what.
  if (ref.startsWith("refs/tags/")) return backwards;
  const { code } = await git.run(place, ["merge-base", "--is-ancestor", old, next]);
  return code === 0 ? undefined : backwards;
}
