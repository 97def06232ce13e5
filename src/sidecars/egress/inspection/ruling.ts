/**
 * What is done about what was found: a value that everybody who looks into something asks for. A known secret
 * and a decoy always stop what they are in; but a value that the operator bound to hosts may go there.
 */

import type { Finding } from "../../../inspect/finding.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { isPlaceholder } from "./placeholders.ts";

export type Ruling =
  | { readonly kind: "pass" }
  /** It may go without these. */
  | { readonly kind: "mask"; readonly findings: readonly Finding[] }
  | { readonly kind: "refuse"; readonly refusal: Refusal; readonly finding: Finding };

export interface Place {
  /** For people: `the body`, `header x-note`. */
  readonly surface: string;
  readonly host: string;
  /** What is there can be masked without breaking it, and is nowhere that a credential is presented. */
  readonly isBody: boolean;
  /** Made of pieces that do not stand side by side where they are. */
  readonly joined?: boolean;
}

/** What of a route counts here. */
type RuledRoute = Pick<CompiledRoute, "host" | "credential" | "inspection">;

const PASS: Ruling = { kind: "pass" };

export function ruleOn(
  found: readonly Finding[],
  place: Place,
  route: RuledRoute,
  mayHave: (known: string, host: string) => boolean,
): Ruling {
  if (found.length === 0) return PASS;
  // The headers in which a placeholder becomes a credential are not looked at: in any other it is astray, also here.
  const isPermitted = (name: string): boolean =>
    (place.isBody || !isPlaceholder(name)) && mayHave(name, place.host);
  const findings = withoutPermitted(found, isPermitted, place.joined === true);
  const worst =
    findings.find((each) => isKnown(each) && !isPlaceholder(each.detector)) ??
    findings.find(isKnown) ??
    findings.find(isUnread) ??
    findings[0];
  if (worst === undefined) return PASS;
  const { onMatch } = route.inspection;
  const mayMask = place.isBody && !isKnown(worst) && !isUnread(worst);
  if (onMatch === "redact" && mayMask) return { kind: "mask", findings };
  return { kind: "refuse", refusal: leak(worst, place, route), finding: worst };
}

function isKnown({ kind }: Finding): boolean {
  return kind === "known" || kind === "canary";
}

/** The rest of a text that the inspector gave up on. Masked, nothing would be left of it, nor of its framing. */
export function isUnread({ kind, detector }: Finding): boolean {
  return kind === "pattern" && UNREAD.has(detector);
}

/** Whether the operator could let it pass. */
export function isExceptable(finding: Finding): boolean {
  return (finding.kind === "pattern" || finding.kind === "rule") && !isUnread(finding);
}

const UNREAD: ReadonlySet<string> = new Set([
  "too-many-near-misses",
  "too-many-secrets",
  "too-much-encoding",
]);

/**
 * What lies in a permitted value, a pattern's finding of the same token say, is permitted with it. Where pieces were
 * joined, the next one can make a token look longer than it is.
 */
function withoutPermitted(
  found: readonly Finding[],
  isPermitted: (name: string) => boolean,
  joined: boolean,
): readonly Finding[] {
  const permitted = found.filter(({ kind, detector }) => kind === "known" && isPermitted(detector));
  if (permitted.length === 0) return found;
  return found.filter(({ kind, start, end }) => {
    if (kind === "canary") return true;
    const touches = joined && kind === "pattern";
    return !permitted.some((each) =>
      touches ? each.start < end && start < each.end : each.start <= start && end <= each.end,
    );
  });
}

function leak(finding: Finding, place: Place, route: RuledRoute): Refusal {
  if (isPlaceholder(finding.detector)) return misused(place, route);
  const through = finding.through.length === 0 ? "" : `, behind ${finding.through.join(", ")}`;
  const rule = `${finding.detector}: finding ${finding.fingerprint}${through}`;
  const ask = {
    tool: "request_exception",
    arguments: { finding: finding.fingerprint, detector: finding.detector, host: place.host },
  };
  switch (finding.kind) {
    case "canary":
      return refuse("canary-found", `${place.surface} has the bottle's decoy credential in it`, rule, {
        ask,
      });
    case "known":
      return refuse(
        "secret-found",
        `${place.surface} has a value in it that must not leave: ${finding.detector}`,
        rule,
        { ask },
      );
    default: {
      if (!isExceptable(finding)) return unread(finding, place, rule);
      const asks = route.inspection.onMatch === "ask";
      return refuse(
        "secret-found",
        `${place.surface} has what looks like a secret in it (${finding.detector})${asks ? "; the operator has to allow it" : ""}`,
        rule,
        { ask, asks },
      );
    }
  }
}

/** There is no one value in it that an exception could be for. */
function unread({ detector }: Finding, { surface }: Place, rule: string): Refusal {
  return refuse("secret-found", `${surface} could not be read to its end (${detector})`, rule, {
    ask: { tool: "list_capabilities", arguments: {} },
  });
}

function misused({ surface }: Place, { host, credential }: RuledRoute): Refusal {
  return refuse(
    "placeholder-misused",
    `${surface} has a placeholder in it, which stands for a credential that is not for this request or not in this place`,
    credential.length === 0
      ? `route ${host}: no credential is put in its place here`
      : `route ${host}: a credential is put into ${credential.join(", ")} and nowhere else`,
  );
}
