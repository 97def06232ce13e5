/** Judges new versions of .gitattributes and .gitmodules by what they add to the versions before. */
import type { Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import { driverLines, moduleUrls } from "../policy/content.ts";

export interface RulesFile {
  readonly kind: "attributes" | "modules";
  readonly path: string;
  readonly id: string;
  readonly before: readonly string[];
}

/** The first thing that a version says and no version before did; undefined when there is none. */
export type NewRule = (file: RulesFile) => string | undefined;

/** Each text is read once, and each change judged once: folders within each other put one file under any number of paths. */
export function createNewRule(texts: ReadonlyMap<string, string>): NewRule {
  const linesOf = remembered(([kind = "", id = ""]) => {
    const read = kind === "attributes" ? driverLines : moduleUrls;
    return read(texts.get(id) ?? "");
  });
  const verdictOn = remembered(([kind = "", id = "", ...before]) => {
    const old = new Set(before.flatMap((each) => linesOf([kind, each])));
    return linesOf([kind, id]).find((line) => !old.has(line));
  });
  return ({ kind, id, before }) => verdictOn([kind, id, ...before]);
}

function remembered<T>(compute: (words: readonly string[]) => T): (words: readonly string[]) => T {
  const known = new Map<string, T>();
  return (words) => {
    const key = words.join(" ");
    const value = known.has(key) ? (known.get(key) as T) : compute(words);
    known.set(key, value);
    return value;
  };
}

/** The texts of these blobs, as latin1. @throws Error when one is larger than git itself would read, or missing. */
export async function readBlobs(
  git: Git,
  place: Place,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  if (ids.length === 0) return texts;
  const stdin = ids.map((id) => `${id}\n`).join("");
  const sizes = await git.run(place, ["cat-file", "--batch-check=%(objecttype) %(objectsize)"], {
    stdin,
    signal,
  });
  for (const line of sizes.stdout.toString("latin1").trimEnd().split("\n")) {
    const [type, size] = line.split(" ");
    if (type !== "blob" || Number(size) > LIMITS.rulesFileBytes) throw new Error("a rules file is too large");
  }
  const { stdout, code } = await git.run(place, ["cat-file", "--batch=%(objectname) %(objectsize)"], {
    stdin,
    signal,
  });
  if (code !== 0 || sizes.code !== 0) throw new Error("git could not read a rules file");
  for (let at = 0; at < stdout.length; ) {
    const end = stdout.indexOf(10, at);
    const [id = "", size = ""] = stdout.toString("latin1", at, end).split(" ");
    const begin = end + 1;
    texts.set(id, stdout.toString("latin1", begin, begin + Number(size)));
    at = begin + Number(size) + 1;
  }
  return texts;
}
