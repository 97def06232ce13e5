/** Mutants by their form: conditions that never hold, and rows of tables that are not there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Mutant {
  /** For people and `--only`: `decoder: base32`. */
  readonly name: string;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Test files of which one must fail; in the order in which they are tried. */
  readonly tests: readonly string[];
  /** Only tests with such names. */
  readonly pattern?: string;
}

/** Mutants that are tried together, because each has a test of its own that looks at nothing else. */
export interface Batch extends Omit<Mutant, "pattern"> {
  /** What stands in the name of each one's test, by the mutant's name. */
  readonly killers: ReadonlyMap<string, string>;
}

/** A file of which each guard is left out in turn, and the tests of which one must notice. */
export interface Guarded {
  readonly file: string;
  readonly tests: readonly string[];
}

/** Lines, each left out in turn. */
export interface Table extends Guarded {
  readonly line: RegExp;
}

interface Where {
  readonly root: string;
  /** What the files' names begin with. */
  readonly base: string;
  /** What the mutants' names begin with. */
  readonly prefix: string;
}

/** @param options.equivalent `<file>: <condition>` of those that make no difference. */
export function guards(
  options: Where & { readonly guarded: readonly Guarded[]; readonly equivalent: ReadonlySet<string> },
): readonly Mutant[] {
  const { root, base, prefix, guarded, equivalent } = options;
  return guarded.flatMap(({ file, tests }) => {
    const path = `${base}/${file}`;
    const text = readFileSync(join(root, path), "utf8");
    const lines = [...text.matchAll(/^ *(?:\} else )?if \((.+)\) (?:return\b|\{$|throw\b).*$/gm)];
    return lines.flatMap(([line, condition = ""]) =>
      // A line that stands there twice cannot be told from the other.
      text.split(line).length === 2 && !equivalent.has(`${file}: ${condition}`)
        ? [
            {
              ...{ name: `${prefix}${file}: ${condition}`, file: path, find: line, tests },
              replace: line.replace(condition, "0 === 1"),
            },
          ]
        : [],
    );
  });
}

export function tables(options: Where & { readonly tables: readonly Table[] }): readonly Mutant[] {
  const { root, base, prefix } = options;
  return options.tables.flatMap(({ file, line, tests }) => {
    const path = `${base}/${file}`;
    const text = readFileSync(join(root, path), "utf8");
    return [...text.matchAll(line)].map(([row]) => ({
      ...{ name: `${prefix}${file}: ${row.trim()}`, file: path, find: `${row}\n`, replace: "", tests },
    }));
  });
}
