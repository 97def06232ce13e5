/** The refs of a repository, and what upstream says of its own. */

/** Ref to id. */
export type Refs = ReadonlyMap<string, string>;

export interface RemoteRefs {
  readonly refs: Refs;
  /** What HEAD stands for; undefined when it is detached, or upstream is empty. */
  readonly head: string | undefined;
  /** Refs that stand for another one: pushing to them would move that. */
  readonly symbolic: ReadonlySet<string>;
}

const ID = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Reads `git ls-remote --symref`. Only refs below one of `hierarchies` (`refs/heads/`) are kept. */
export function parseRemoteRefs(text: string, hierarchies: readonly string[]): RemoteRefs {
  const refs = new Map<string, string>();
  const symbolic = new Set<string>();
  let head: string | undefined;
  for (const line of text.split("\n")) {
    const [value = "", ref = ""] = line.split("\t");
    const target = value.startsWith("ref: ") ? value.slice(5) : undefined;
    if (ref === "HEAD") {
      if (target?.startsWith("refs/heads/")) head = target;
    } else if (target !== undefined) {
      symbolic.add(ref);
    } else if (
      ID.test(value) &&
      !ref.endsWith("^{}") &&
      hierarchies.some((prefix) => ref.startsWith(prefix))
    ) {
      refs.set(ref, value);
    }
  }
  return { refs, head, symbolic };
}

/** Reads `git for-each-ref --format='%(objectname) %(refname)'`. */
export function parseRefs(text: string): Refs {
  const refs = new Map<string, string>();
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) refs.set(line.slice(space + 1), line.slice(0, space));
  }
  return refs;
}

/** How many refs differ. */
export function differences(a: Refs, b: Refs): number {
  let count = 0;
  for (const [ref, id] of a) if (b.get(ref) !== id) count += 1;
  for (const ref of b.keys()) if (!a.has(ref)) count += 1;
  return count;
}
