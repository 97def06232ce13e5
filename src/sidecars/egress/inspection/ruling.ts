/**
 * What is done about what was found: a value that everybody who looks into something asks for. A known secret
 * and a decoy always stop what they are in; but a value that the operator bound to hosts may go there.
 */

import type { RouteInspection } from "../../../contract/policy.ts";
import type { Finding } from "../../../inspect/finding.ts";
import { type Refusal, refuse } from "../denial.ts";

export type Ruling =
  | { readonly kind: "pass" }
  /** It may go without these. */
  | { readonly kind: "mask"; readonly findings: readonly Finding[] }
  | { readonly kind: "refuse"; readonly refusal: Refusal; readonly finding: Finding };

export interface Place {
  /** For people: `the body`, `header x-note`. */
  readonly surface: string;
  readonly host: string;
  /** Whether what is there can be masked without breaking it. */
  readonly maskable: boolean;
  /** Made of pieces that do not stand side by side where they are. */
  readonly joined?: boolean;
}

const PASS: Ruling = { kind: "pass" };

export function ruleOn(
  found: readonly Finding[],
  place: Place,
  onMatch: RouteInspection["onMatch"],
  mayHave: (known: string, host: string) => boolean,
): Ruling {
  if (found.length === 0) return PASS;
  const findings = withoutPermitted(found, (name) => mayHave(name, place.host), place.joined === true);
  const worst = findings.find(isKnown) ?? findings.find(isUnread) ?? findings[0];
  if (worst === undefined) return PASS;
  const mayMask = place.maskable && !isKnown(worst) && !isUnread(worst);
  if (onMatch === "redact" && mayMask) return { kind: "mask", findings };
  return { kind: "refuse", refusal: leak(worst, place, onMatch), finding: worst };
}

function isKnown({ kind }: Finding): boolean {
  return kind === "known" || kind === "canary";
}

/** The rest of a text that the inspector gave up on. Masked, nothing would be left of it, nor of its framing. */
function isUnread({ kind, detector }: Finding): boolean {
  return kind === "pattern" && (detector === "too-much-encoding" || detector === "too-many-secrets");
}

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

function leak(finding: Finding, place: Place, onMatch: RouteInspection["onMatch"]): Refusal {
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
      const wait = onMatch === "ask" ? "; the operator has to allow it" : "";
      return refuse(
        "secret-found",
        `${place.surface} has what looks like a secret in it (${finding.detector})${wait}`,
        rule,
        { ask },
      );
    }
  }
}
