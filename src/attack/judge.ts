/** What a probe's two runs mean. Pure, so that no program's output decides more than its own line. */
import type { Capabilities, Otherwise, Probe, Seen } from "./probe.ts";

/** `stated`: seen as said of a bottle or a machine that lacks something; everything but it and `held` is a failure. */
export type Outcome = "held" | "stated" | "escaped" | "slow" | "unexplained" | "no-control" | "not-run";

export interface Judged {
  readonly outcome: Outcome;
  /** For every outcome but `held`. */
  readonly why?: string;
}

/** I10: longer is a time-out by another name. */
export const QUICK_MS = 1_000;

export function isHeld({ outcome }: Judged): boolean {
  return outcome === "held" || outcome === "stated";
}

/**
 * @param allowedMs what an answer that is allowed took in the same guest at about the same time: 0 where its processor is
 *   not emulated, because a second is enough for both there.
 */
export function judge(
  probe: Probe,
  seen: Seen | undefined,
  control: Seen | undefined,
  has: Capabilities,
  allowedMs: number,
): Judged {
  if (seen === undefined || seen.kind === "not-run")
    return { outcome: "not-run", why: seen?.words ?? "it was not tried" };
  const controlled = judgeControl(probe, control, has);
  if (controlled.outcome === "no-control") return controlled;
  const stated = statedBy(probe.otherwise, seen, has);
  if (seen.kind === "got" || !isAmong(probe.refused, seen.code)) {
    if (stated !== undefined) return { outcome: "stated", why: stated };
    const what = seen.kind === "got" ? "it succeeded" : `refused as ${seen.code}, which is not how`;
    return { outcome: "escaped", why: `${what}: ${seen.words}` };
  }
  if (probe.explained === true && !seen.explained)
    return {
      outcome: "unexplained",
      why: `the refusal does not say what, why and how to ask: ${seen.words}`,
    };
  if (!isLate(probe, seen, 0)) return controlled;
  const why = `refused after ${Math.round(seen.refusalMs)} ms`;
  if (isLate(probe, seen, allowedMs)) return { outcome: "slow", why };
  return {
    outcome: "stated",
    why: `${why}, on a processor that is emulated: what is allowed takes ${Math.round(allowedMs)} ms there`,
  };
}

/** Beyond the second is what programs themselves take there, and no more than they take for what is allowed. */
export function isLate(probe: Probe, seen: Seen | undefined, allowedMs: number): boolean {
  return probe.slow === undefined && seen?.kind === "refused" && seen.refusalMs > QUICK_MS + allowedMs;
}

function judgeControl(probe: Probe, control: Seen | undefined, has: Capabilities): Judged {
  if (control === undefined) return { outcome: "no-control", why: "its control was not tried" };
  if (control.kind === "got") return { outcome: "held" };
  const stated = statedBy(probe.controlOtherwise, control, has);
  if (stated !== undefined) return { outcome: "stated", why: stated };
  const how = control.kind === "refused" ? `refused as ${control.code}: ` : "";
  return { outcome: "no-control", why: `its control does not succeed: ${how}${control.words}` };
}

function statedBy(list: readonly Otherwise[] | undefined, seen: Seen, has: Capabilities): string | undefined {
  return list?.find(
    ({ without = [], seen: codes }) =>
      without.every((name) => !has[name]) &&
      (seen.kind === "refused" ? isAmong(codes, seen.code) : seen.kind === "got" && codes.includes("got")),
  )?.because;
}

function isAmong(codes: readonly string[], code: string): boolean {
  return code.split("+").every((each) => codes.includes(each));
}

/** In words: `ENETUNREACH or EACCES`. */
export function expectationOf(probe: Probe): string {
  return `refused: ${probe.refused.join(" or ")}`;
}
