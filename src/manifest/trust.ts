/**
 * Who could have written a file. A bottle says what an agent may do, so nobody but the operator (or root, who
 * could do anything anyway) may be able to change one; and a file in a cloned repository must not lead to a
 * file outside it, or the repository could bring the operator's own files into a prompt.
 */
import { realpathSync, type Stats } from "node:fs";
import { join, sep } from "node:path";
import { codeOf } from "../lib/errors.ts";

const OTHERS_MAY_WRITE = 0o022;

/** Why a file or folder of the home cannot be trusted, and what to run; undefined when it can. */
export function ownershipFault(stat: Stats, path: string, uid: number): string | undefined {
  if (stat.uid !== uid && stat.uid !== 0) {
    return `belongs to another user (uid ${stat.uid}), who could change what agents may do: run chown ${uid} ${path}`;
  }
  if ((stat.mode & OTHERS_MAY_WRITE) !== 0) {
    const mode = (stat.mode & 0o777).toString(8);
    return `can be changed by other users (mode ${mode}): run chmod go-w ${path}`;
  }
  return undefined;
}

export type Containment =
  | { readonly kind: "inside"; readonly realPath: string }
  /** It, or a folder above it, is a link that leads out of the repository's `.bot-bottle`. */
  | { readonly kind: "outside" }
  | { readonly kind: "missing" };

/** Where `path`, somewhere below `<repository>/.bot-bottle`, really is. */
export function containedIn(repository: string, path: string): Containment {
  try {
    const fence = join(realpathSync(repository), ".bot-bottle");
    const realPath = realpathSync(path);
    const inside = realPath === fence || realPath.startsWith(fence + sep);
    return inside ? { kind: "inside", realPath } : { kind: "outside" };
  } catch (error) {
    // ELOOP and whatever else keeps the path from being resolved: it leads nowhere that may be read.
    return codeOf(error) === "ENOENT" ? { kind: "missing" } : { kind: "outside" };
  }
}
