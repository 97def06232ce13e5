/** Follows `extends`: which bottles make up one, in the order in which they are merged. Pure. */

export type ChainFault =
  | { readonly kind: "missing"; readonly name: string; readonly chain: readonly string[] }
  /** `chain` begins and ends with the bottle that leads back to itself. */
  | { readonly kind: "cycle"; readonly chain: readonly string[] }
  | { readonly kind: "too-long" };

export interface ChainFinding {
  /** The bottle whose `extends` is at fault, and which of its parents it is. */
  readonly heir: string;
  readonly parent: number;
  readonly fault: ChainFault;
}

export interface Chain {
  /** Parents before heirs, each once; the bottle asked for is the last. */
  readonly order: readonly string[];
  readonly findings: readonly ChainFinding[];
}

/** A chain that nobody could read any more; it also bounds the recursion. */
export const MAX_BOTTLES = 64;

/** `parentsOf` gives undefined for a bottle that does not exist. `start` must exist. */
export function followExtends(
  start: string,
  parentsOf: (name: string) => readonly string[] | undefined,
): Chain {
  const order: string[] = [];
  const findings: ChainFinding[] = [];
  const seen = new Set([start]);

  function visit(name: string, parents: readonly string[], trail: readonly string[]): void {
    parents.forEach((parent, i) => {
      const report = (fault: ChainFault): number => findings.push({ heir: name, parent: i, fault });
      const back = trail.indexOf(parent);
      if (back >= 0) {
        report({ kind: "cycle", chain: [...trail.slice(back), parent] });
        return;
      }
      if (seen.has(parent)) return;
      if (seen.size >= MAX_BOTTLES) {
        report({ kind: "too-long" });
        return;
      }
      seen.add(parent);
      const grandparents = parentsOf(parent);
      if (grandparents === undefined) {
        report({ kind: "missing", name: parent, chain: [...trail, parent] });
        return;
      }
      visit(parent, grandparents, [...trail, parent]);
    });
    order.push(name);
  }

  visit(start, parentsOf(start) ?? [], [start]);
  return { order, findings };
}
