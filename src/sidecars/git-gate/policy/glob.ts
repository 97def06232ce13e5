/** Patterns of paths: `*` and `?` within a name, `**` across names. Matched without case, as some file systems do. */

export type PathMatch = (path: string) => boolean;

/** `pattern` is the operator's, or ours: the expression made of it has no nested repetition. */
export function compileGlob(pattern: string): PathMatch {
  const folded = foldPath(pattern);
  let source = "";
  for (let i = 0; i < folded.length; i++) {
    const rest = folded.slice(i);
    if (rest.startsWith("**/")) {
      source += "(?:[^]*/)?";
      i += 2;
    } else if (rest.startsWith("**")) {
      source += "[^]*";
      i += 1;
    } else if (rest.startsWith("*")) source += "[^/]*";
    else if (rest.startsWith("?")) source += "[^/]";
    else source += (folded[i] ?? "").replace(/[.+^${}()|[\]\\/]/, "\\$&");
  }
  const expression = new RegExp(`^${source}$`, "u");
  return (path) => expression.test(path);
}

/** What no eye and no file system tells apart: HFS+ drops these from a name, NTFS drops dots and spaces at its end. */
const IGNORED = /\p{Cf}|\p{Mn}/gu;

/** One spelling for all under which a checkout somewhere would find the same file. */
export function foldPath(path: string): string {
  return path
    .normalize("NFKC")
    .replace(IGNORED, "")
    .replaceAll("\\", "/")
    .toLowerCase()
    .split("/")
    .map((name) => name.replace(/(?<=.)[. ]+$/, ""))
    .join("/");
}
