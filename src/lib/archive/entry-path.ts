/** Names and link targets in a stranger's archive, as bytes: what they may be, and where they lead. */
import { printable } from "../printable.ts";
import { ArchiveError } from "./tar-format.ts";

/** Linux's NAME_MAX and PATH_MAX: nothing longer can have been on the disk it came from. */
const MAX_COMPONENT_BYTES = 255;
const MAX_PATH_BYTES = 4096;

/** The components of a name in an archive. @throws ArchiveError when it is absolute, climbs or is too long. */
export function componentsOf(name: Buffer): readonly Buffer[] {
  if (name.length === 0) throw new ArchiveError("an entry has no name");
  if (name.length > MAX_PATH_BYTES) throw new ArchiveError(`a name is longer than ${MAX_PATH_BYTES} bytes`);
  if (name.includes(0)) throw new ArchiveError("a name contains a NUL byte");
  if (name[0] === 0x2f) throw new ArchiveError(`the name ${shown([name])} is absolute`);
  const components = split(name);
  for (const component of components) {
    if (isDotDot(component)) throw new ArchiveError(`the name ${shown([name])} climbs out`);
    if (component.length > MAX_COMPONENT_BYTES) {
      throw new ArchiveError(`a name has a part longer than ${MAX_COMPONENT_BYTES} bytes`);
    }
  }
  return components;
}

/**
 * A link is safe when its target climbs no higher than the top and climbs only at its beginning: its parents
 * are real folders, so those steps count exactly; a `..` after a name could climb out of wherever *another*
 * link leads.
 */
export function reasonAgainstLink(path: readonly Buffer[], target: Buffer): string | undefined {
  if (target.length === 0 || target.length > MAX_PATH_BYTES || target.includes(0))
    return "its target is no path";
  if (target[0] === 0x2f) return "it is a link to an absolute path";
  const steps = split(target);
  const firstName = steps.findIndex((step) => !isDotDot(step));
  const climbs = firstName < 0 ? steps.length : firstName;
  if (climbs > path.length - 1) return "it is a link that leaves the folder";
  if (steps.slice(climbs).some(isDotDot)) return "it is a link that climbs after a name";
  return undefined;
}

/** The parts between slashes; empty ones and `.` say nothing. */
export function split(name: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at <= name.length; ) {
    const slash = name.indexOf(0x2f, at);
    const end = slash < 0 ? name.length : slash;
    const part = name.subarray(at, end);
    if (part.length > 0 && !(part.length === 1 && part[0] === 0x2e)) parts.push(Buffer.from(part));
    at = end + 1;
  }
  return parts;
}

function isDotDot(component: Buffer): boolean {
  return component.length === 2 && component[0] === 0x2e && component[1] === 0x2e;
}

/** For people. */
export function shown(path: readonly Buffer[]): string {
  return path.length === 0 ? "." : printable(path.map((component) => component.toString("utf8")).join("/"));
}
