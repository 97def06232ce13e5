/** The ways in which a guest gets its system-call filter, or none: what an attack test is to be run under. */
import { programFile } from "../../support/outer-network.ts";

export interface FilterCase {
  readonly name: string;
  readonly filtered: boolean;
  /** Programs to hide, so that this way is taken. */
  readonly hide: readonly string[];
  /** What must be installed for it. */
  readonly needs?: string;
}

function present(...names: readonly string[]): readonly string[] {
  return names.map(programFile).filter((path) => path !== undefined);
}

export const FILTER_CASES: readonly FilterCase[] = [
  { name: "filtered by bubblewrap", filtered: true, hide: [], needs: "bwrap" },
  { name: "filtered by perl", filtered: true, hide: present("bwrap"), needs: "perl" },
  { name: "unfiltered, because neither is there", filtered: false, hide: present("bwrap", "perl") },
];

/** Why a case cannot be tried here; said aloud, because a skipped attack is one that nobody tried. */
export function missing({ name, needs }: FilterCase): string | undefined {
  if (needs === undefined || programFile(needs) !== undefined) return undefined;
  const reason = `${needs} is not installed`;
  console.warn(`SKIPPED, no attack was tried on a guest ${name}: ${reason}`);
  return reason;
}

/** Where a guest finds perl too when it is hidden from the backend; absent where there is none. */
export const PERL: string | undefined = programFile("perl") && "/usr/src/perl-of-the-tests";
if (PERL === undefined) console.warn("SKIPPED, no system call is tried: perl is not installed");

/** Shell text for `prepare` that puts it there. */
export const PREPARE_PERL =
  PERL === undefined ? "" : `mount -n -t tmpfs tmpfs /usr/src; cp ${programFile("perl")} ${PERL}`;
