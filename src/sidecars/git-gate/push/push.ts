/**
 * A push, from what receive-pack is about to do to what upstream said. Until the forward begins nothing has left this
 * program; the objects lie in receive-pack's quarantine, which it removes when the answer is no (I4).
 *
 *   names of refs -> what they point to -> all that is new, looked at -> the operator -> lock -> upstream
 */
import type { Grants } from "../../../approvals/grant-counter.ts";
import type { GitReview, GitReviewAnswer, GitUpdate } from "../../../contract/git-gate.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { type Refusal, refuse, type Verdict } from "../denial.ts";
import type { Reporter } from "../events.ts";
import type { HookRequest } from "../git/hook.ts";
import type { Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import type { Mirror } from "../mirror.ts";
import type { CompiledPolicy, CompiledRepo } from "../policy/compile.ts";
import { isZero, judgeRefs, parseUpdates, type RefGrant } from "../policy/refs.ts";
import { type Inspected, inspectPush } from "../scan/inspect-push.ts";
import { shownBytes } from "../scan/shown.ts";
import { forward } from "../upstream/forward.ts";
import type { Remote } from "../upstream/remote.ts";
import { createPermits, type Permits } from "./permits.ts";
import { describePush } from "./review.ts";
import { judgeTargets } from "./targets.ts";

export interface PushContext {
  readonly name: string;
  readonly git: Git;
  readonly mirror: Mirror;
  readonly remote: Remote;
  readonly report: Reporter;
  /** As it is now: it may be replaced while a push waits. */
  readonly policy: () => CompiledPolicy;
  /** What was given for a while. */
  readonly grants: Pick<Grants, "isOpen" | "use">;
  readonly review: (review: GitReview, signal: AbortSignal) => Promise<GitReviewAnswer | undefined>;
  /** Aborted when the agent goes away. Not heeded any more once the forward has begun. */
  readonly signal: AbortSignal;
  /** Tells the agent something while it waits. */
  readonly say: (line: string) => void;
  /** Called once what it brings has been looked at: what is left costs the host little, and may take hours. */
  readonly looked: () => void;
}

export type PushEnd =
  /** The mirror is still locked, because receive-pack moves its refs now. */
  | {
      readonly kind: "accepted";
      readonly updates: readonly GitUpdate[];
      readonly words: readonly string[];
      readonly release: () => void;
    }
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly refs: readonly string[] }
  | { readonly kind: "unknown"; readonly reason: string };

export async function judgePush(context: PushContext, request: HookRequest): Promise<PushEnd> {
  const began = performance.now();
  const { name, report } = context;
  const parsed = parseUpdates(request.lines, LIMITS.updates);
  const updates = parsed.allow ? parsed.value : [];
  // A ref's name is the agent's, and may hold anything; what is told and kept is masked.
  const { inspector } = context.policy();
  const shown = shownUpdates(inspector, updates);

  const refused = (refusal: Refusal): PushEnd => {
    const masked = { ...refusal, reason: shownBytes(inspector, Buffer.from(refusal.reason)) };
    report.refusedPush(masked, name, shown);
    return { kind: "refused", refusal: masked, refs: shown.map(({ ref }) => ref) };
  };

  if (!parsed.allow) return refused(parsed);
  const push: Push = {
    updates,
    permits: createPermits(() => repoPolicy(context), context.grants),
    tips: [...new Set(updates.map((update) => update.new).filter((id) => !isZero(id)))],
    place: {
      ...context.mirror.place,
      quarantine: request.quarantine === "" ? undefined : request.quarantine,
    },
  };
  const inspected = await lookAt(context, push);
  context.looked();
  if (context.signal.aborted) return refused(abandoned());
  if (!inspected.allow) return refused(inspected);
  const { review } = repoPolicy(context).policy;
  if (review) {
    const refusal = await askOperator(context, push, inspected.value);
    if (refusal !== undefined) return refused(refusal);
  }

  const release = await context.mirror.lock();
  let locked = true;
  try {
    if (context.signal.aborted) return refused(abandoned());
    // Both the policy and upstream may be others by now.
    const again = await judgeNames(context, push);
    if (!again.allow) return refused(again);
    const grants = push.permits.take();
    if ("allow" in grants) return refused(grants);
    const { commits, objects, bytes, unopened } = inspected.value;
    const what = { repo: name, updates: [...updates], commits, objects, bytes, reviewed: review };
    const unrecorded = await report.forwarding({
      ...what,
      ...(grants.length > 0 && { grants: [...grants] }),
    });
    if (unrecorded !== undefined) return refused(unrecorded);
    if (context.signal.aborted) return refused(abandoned());
    const end = await forward(context.git, push.place, context.remote, updates, (text) =>
      report.log("warn", `${name}: ${text}`),
    );
    if (end.kind === "refused") return refused(end.refusal);
    if (end.kind === "unknown") {
      report.unresolved({ repo: name, updates: [...updates], reason: end.reason });
      return end;
    }

    const ms = Math.round(performance.now() - began);
    report.pushed({ ...what, unopened: [...unopened], ms });
    locked = false;
    return { kind: "accepted", updates, words: end.words, release };
  } finally {
    if (locked) release();
  }
}

/** With the names of refs fit to be told and kept. */
export function shownUpdates(inspector: Inspector, updates: readonly GitUpdate[]): GitUpdate[] {
  return updates.map((update) => ({ ...update, ref: shownBytes(inspector, Buffer.from(update.ref)) }));
}

interface Push {
  readonly permits: Permits;
  readonly updates: readonly GitUpdate[];
  readonly tips: readonly string[];
  readonly place: Place;
}

function repoPolicy({ policy, name }: PushContext): CompiledRepo {
  const repo = policy().repos.get(name);
  if (repo === undefined) throw new Error(`no policy for ${name}`);
  return repo;
}

async function judgeNames(context: PushContext, push: Push): Promise<Verdict<readonly RefGrant[]>> {
  const { permits, updates } = push;
  if (context.policy().frozen) return frozen();
  const judged = judgeRefs(updates, {
    rules: permits.rules(),
    excepted: (ref) => permits.excepted("ref-not-allowed", ref),
    current: await context.mirror.refs(),
    symbolic: context.mirror.symbolic(),
  });
  if (judged.allow) permits.note(updates);
  return judged;
}

async function lookAt(context: PushContext, push: Push): Promise<Verdict<Inspected>> {
  const { git, signal } = context;
  const { place, tips } = push;
  const names = await judgeNames(context, push);
  if (!names.allow) return names;
  const { policy, paths } = repoPolicy(context);
  const { excepted } = push.permits;
  const enough = new AbortController();
  const looking = inspectPush({
    ...{ git, place, tips, paths, excepted },
    refs: push.updates.map(({ ref }) => ref),
    inspector: context.policy().inspector,
    limits: policy.limits,
    signal: AbortSignal.any([signal, enough.signal, AbortSignal.timeout(LIMITS.inspectMs)]),
  });
  const targets = await judgeTargets(git, place, names.value);
  if (targets !== undefined) enough.abort();
  const inspected = await looking;
  return targets ?? inspected;
}

async function askOperator(
  context: PushContext,
  push: Push,
  inspected: Inspected,
): Promise<Refusal | undefined> {
  const { git, name, signal, say, review } = context;
  const { updates, tips, place } = push;
  say("waiting for the operator to review this push");
  const described = await describePush(git, place, { repo: name, updates, tips }, inspected);
  const answer = await review(described, signal);
  if (signal.aborted) return abandoned();
  if (answer === undefined) {
    return refuse(
      "review-unanswered",
      "the operator has not answered; push again to ask again",
      "review of every push",
    );
  }
  if (answer.decision === "approve") {
    if (answer.note !== undefined) say(`the operator says: ${answer.note}`);
    return undefined;
  }
  const words = answer.note === undefined ? [] : [`the operator says: ${answer.note}`];
  return refuse("review-refused", "the operator does not want this push", "review of every push", { words });
}

function frozen(): Refusal {
  const reason = "this bottle is frozen: nothing leaves it until the operator thaws it";
  return refuse("frozen", reason, "a bottle that is not frozen");
}

function abandoned(): Refusal {
  return refuse("push-abandoned", "the push was broken off before it was judged", "the connection");
}
