/**
 * What one push may do: by what the bottle has, and by what was given for a while. Whatever of the latter it needs is
 * noted as the push is judged, and taken just before the push is forwarded: one that is refused has used nothing, and
 * what ended while it was looked at does not let it through.
 */
import type { Grants } from "../../../approvals/grant-counter.ts";
import type { GitRepoPolicy, GitUpdate } from "../../../contract/git-gate.ts";
import { matchesRef } from "../../../lib/git-ref.ts";
import { type DenialCode, type Refusal, refuse } from "../denial.ts";
import type { CompiledRepo } from "../policy/compile.ts";

type RefRule = GitRepoPolicy["refs"][number];

export interface Permits {
  /** Those that hold now. */
  rules(): readonly RefRule[];
  excepted(code: DenialCode, subject: string): boolean;
  /** The names of the push were allowed. */
  note(updates: readonly GitUpdate[]): void;
  /** One use of each that is needed: their ids, or why the push goes no further. */
  take(): readonly string[] | Refusal;
}

/** @param repo as it is now: it may be replaced while a push waits. */
export function createPermits(repo: () => CompiledRepo, grants: Pick<Grants, "isOpen" | "use">): Permits {
  const needed = new Set<string>();
  const holding = (): readonly RefRule[] =>
    repo().policy.refs.filter(({ grant }) => grant === undefined || grants.isOpen(grant.id));

  return {
    rules: holding,
    excepted(code, subject) {
      const found = (repo().exceptions.get(`${code} ${subject}`) ?? []).filter(
        (grant) => grant === undefined || grants.isOpen(grant.id),
      );
      const [grant] = found;
      if (grant !== undefined && !found.includes(undefined)) needed.add(grant.id);
      return found.length > 0;
    },
    note(updates) {
      for (const { ref } of updates) {
        const matching = holding().filter(({ pattern }) => matchesRef(pattern, ref));
        const own = matching.filter(({ grant }) => grant === undefined);
        for (const { grant, force, delete: remove } of matching) {
          const isMore =
            own.length === 0 ||
            (force && !own.some((rule) => rule.force)) ||
            (remove && !own.some((rule) => rule.delete));
          if (grant !== undefined && isMore) needed.add(grant.id);
        }
      }
    },
    take() {
      const taken = [...needed];
      return taken.every((id) => grants.use(id)) ? taken : ended();
    },
  };
}

function ended(): Refusal {
  return refuse(
    "grant-ended",
    "what the operator had allowed for a while has run out, is used up or was taken back",
    "a grant that lasts",
  );
}
