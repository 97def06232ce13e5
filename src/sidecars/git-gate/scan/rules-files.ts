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

/** The first thing that this version says and no version before did; undefined when there is none. */
export function newRule(file: RulesFile, texts: ReadonlyMap<string, string>): string | undefined {
  const read = file.kind === "attributes" ? driverLines : moduleUrls;
  const old = new Set(file.before.flatMap((id) => read(texts.get(id) ?? "")));
  return read(texts.get(file.id) ?? "").find((line) => !old.has(line));
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
