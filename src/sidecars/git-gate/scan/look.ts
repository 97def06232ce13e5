/** What the parts of one look at a push share: what is asked, what may be told, and why it stopped. */
import type { GitLimits } from "../../../contract/git-gate.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import type { DenialCode } from "../denial.ts";
import type { Git, Place } from "../git/run.ts";
import type { PathPolicy } from "../policy/paths.ts";
import type { Budget } from "./content.ts";
import { createFindings, type Findings } from "./findings.ts";
import { shownBytes } from "./shown.ts";

export interface PushToInspect {
  readonly git: Git;
  readonly place: Place;
  readonly refs: readonly string[];
  /** New values of the refs, without deletions. */
  readonly tips: readonly string[];
  readonly inspector: Inspector;
  readonly paths: PathPolicy;
  readonly limits: GitLimits;
  readonly excepted: (code: DenialCode, subject: string) => boolean;
  readonly signal: AbortSignal;
}

export interface Look extends PushToInspect {
  readonly budget: Budget;
  readonly findings: Findings;
  /** A path's bytes, as latin1, fit to be told and kept: it can hold what must not leave. */
  readonly shown: (path: string) => string;
}

export function beginLook(push: PushToInspect): Look {
  const { inspector, excepted } = push;
  const shown = (path: string): string =>
    path === "" ? "(no path)" : shownBytes(inspector, Buffer.from(path, "latin1"));
  return {
    ...push,
    budget: { unpacked: 0, refusal: undefined },
    findings: createFindings((subject) => excepted("secret-found", subject), shown),
    shown,
  };
}

const NOT_MORE_THAN_NAMED = 5;

/** A few of them, and how many more. */
export function several(look: Look, paths: readonly string[]): string {
  const named = paths.slice(0, NOT_MORE_THAN_NAMED).map((path) => look.shown(path));
  const more = paths.length > named.length ? ` and ${paths.length - named.length} more` : "";
  return named.join(", ") + more;
}
