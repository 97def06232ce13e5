/**
 * Why git-gate did not do what was asked: a value, from the stage that found out to the agent that reads it. No
 * refusal holds a secret: findings say where a value stood and what it was like, never the value (I2).
 */
import { ASK_LIMITS, GIT_EXCEPTION_CODES } from "../../contract/approvals.ts";
import type { GitFinding } from "../../contract/git-gate.ts";
import type { Denial } from "../../contract/sidecar.ts";
import { printable } from "../../lib/printable.ts";

/** Every code and its HTTP status, where it is told by one; docs/git-gate.md says what each one means. */
export const DENIAL_STATUS = {
  "bearer-required": 401,
  "request-malformed": 400,
  "not-git": 404,
  "dumb-http-refused": 403,
  "lfs-refused": 403,
  "repo-unknown": 404,
  "host-key-unpinned": 502,
  "upstream-unreachable": 502,
  "upstream-untrusted": 502,
  "upstream-denied": 502,
  "upstream-failed": 502,
  "request-too-large": 413,
  "log-unavailable": 503,
  overloaded: 503,
  stopping: 503,
  "push-abandoned": 403,
  "push-malformed": 403,
  "pack-refused": 403,
  "ref-not-allowed": 403,
  "ref-name": 403,
  "ref-symbolic": 403,
  "ref-clash": 403,
  "ref-target": 403,
  "delete-not-allowed": 403,
  "force-not-allowed": 403,
  "ref-moved": 409,
  "path-protected": 403,
  "path-not-allowed": 403,
  "attributes-filter": 403,
  "submodule-url": 403,
  "lfs-pointer": 403,
  "too-many-objects": 403,
  "too-many-files": 403,
  "file-too-large": 403,
  "object-too-large": 403,
  "archive-unreadable": 403,
  "archive-too-large": 403,
  "inspection-failed": 403,
  "secret-found": 403,
  "grant-ended": 403,
  frozen: 403,
  "review-refused": 403,
  "review-unanswered": 403,
  "upstream-refused": 403,
} as const satisfies Record<string, number>;

export type DenialCode = keyof typeof DENIAL_STATUS;

/** Refusals that the operator may lift for one subject; what egress and sidecars hold as known secrets never. */
const EXCEPTABLE: ReadonlySet<DenialCode> = new Set(GIT_EXCEPTION_CODES);

/** Refusals of what refs may be pushed to, but not like this: what to ask for. */
const WIDENED_BY = { "force-not-allowed": "force", "delete-not-allowed": "delete" } as const;

function isWidened(code: DenialCode): code is keyof typeof WIDENED_BY {
  return Object.hasOwn(WIDENED_BY, code);
}

export interface Refusal {
  readonly allow: false;
  readonly code: DenialCode;
  /** One sentence for whoever reads the answer. */
  readonly reason: string;
  /** The rule behind it, or what is missing. */
  readonly rule: string;
  /** What an exception would be bound to: a finding's `<rule>:<mark>`, a path, a ref. */
  readonly subjects?: readonly string[];
  readonly findings?: readonly GitFinding[];
  /** Upstream's or the operator's own words, made printable. */
  readonly words?: readonly string[];
}

export type Verdict<T> = { readonly allow: true; readonly value: T } | Refusal;

export function allow<T>(value: T): { readonly allow: true; readonly value: T } {
  return { allow: true, value };
}

export function refuse(
  code: DenialCode,
  reason: string,
  rule: string,
  more: Pick<Refusal, "subjects" | "findings" | "words"> = {},
): Refusal {
  return { allow: false, code, reason, rule, ...more };
}

/** What was asked for: `push app refs/heads/x`, `fetch app`, `GET /path`. */
export interface Subject {
  readonly action: "push" | "fetch" | "request";
  readonly repo?: string;
  /** Refs of a push, or the request's line. All of it may be hostile. */
  readonly what?: readonly string[];
}

const SHOWN_LENGTH = 300;
const SHOWN_REFS = 5;

export function targetOf({ action, repo, what = [] }: Subject): string {
  const shown = what.slice(0, SHOWN_REFS).map((text) => printable(text, SHOWN_LENGTH));
  const more = what.length > SHOWN_REFS ? [`and ${what.length - SHOWN_REFS} more`] : [];
  return [action, ...(repo === undefined ? [] : [printable(repo, SHOWN_LENGTH)]), ...shown, ...more].join(
    " ",
  );
}

export function denialOf(refusal: Refusal, subject: Subject): Denial {
  const { code, reason, rule } = refusal;
  return { denied: { code, reason, target: targetOf(subject), rule, ask: askFor(refusal, subject) } };
}

/** What can give a ticket; where nothing can, what tells the agent so, and what helps instead. */
function askFor({ code, subjects = [] }: Refusal, subject: Subject): Denial["denied"]["ask"] {
  const { repo, what = [] } = subject;
  if (repo !== undefined && EXCEPTABLE.has(code) && subjects.length > 0) {
    const shown = subjects.map((text) => printable(text, SHOWN_LENGTH));
    return {
      tool: "request_exception",
      arguments: { repo: printable(repo, SHOWN_LENGTH), code, subjects: shown },
    };
  }
  const refs = what.filter((ref) => ref === printable(ref, SHOWN_LENGTH)).slice(0, ASK_LIMITS.items);
  if (repo !== undefined && refs.length > 0 && isWidened(code)) {
    return { tool: "request_access", arguments: { repository: repo, refs, [WIDENED_BY[code]]: true } };
  }
  return { tool: "explain_denial", arguments: { code, target: targetOf(subject) } };
}

/** The denial on lines, as a person and a model read them over git's sideband or in a plain answer. */
export function inWords(refusal: Refusal, subject: Subject): string[] {
  const { code, reason, target, rule, ask } = denialOf(refusal, subject).denied;
  return [
    `denied: ${code}: ${reason}`,
    `target: ${target}`,
    `rule: ${rule}`,
    ...(refusal.findings ?? []).map(findingInWords),
    ...(refusal.words ?? []).map((line) => `  ${line}`),
    `ask: ${ask.tool} ${JSON.stringify(ask.arguments)}`,
  ];
}

function findingInWords(finding: GitFinding): string {
  const { rule, mark, path, line, commit, inside = [], through = [] } = finding;
  const where = [
    finding.in === "file" || path === undefined ? finding.in : `${finding.in} of`,
    ...(path === undefined ? [] : [path]),
    ...inside.map((member) => `> ${member}`),
  ].join(" ");
  const at = line === undefined ? "" : ` line ${line}`;
  const by = commit === undefined ? "" : `, commit ${commit}`;
  const encoded = through.length === 0 ? "" : `, encoded as ${through.join(" in ")}`;
  return `found: ${rule} in ${where}${at}${by}${encoded}: [masked, mark ${mark}]`;
}
