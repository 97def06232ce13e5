/**
 * Pushes that wait for the operator, because their repository wants every one reviewed. Each question and each answer
 * is on the log before anybody hears of it (I8), an answer is for what was shown (I6), and no answer is a no.
 */
import { createHash, randomBytes } from "node:crypto";
import { canonicalJson } from "../audit/canonical-json.ts";
import type { AuditLog } from "../audit/log.ts";
import { type GitReview, type GitReviewAnswer, gitReviewSchema } from "../contract/git-gate.ts";
import { UserError } from "../lib/errors.ts";
import type { Pending } from "./inbox-protocol.ts";

export interface PushReviewOptions {
  readonly bottle: string;
  readonly log: Pick<AuditLog, "append">;
  /** How long an answer is waited for. */
  readonly patienceMs: number;
  readonly clock: () => number;
  readonly notify: (event: string, data: object) => void;
}

/** Every step but `close` is to be taken in turn with all else that is decided. */
export interface PushReviews {
  /** What git-gate asks, as it came. Resolves once it waits, or will not. */
  ask(data: unknown): Promise<{ readonly answered: Promise<GitReviewAnswer> }>;
  has(ticket: string): boolean;
  /** @throws UserError when the digest is not that of the push. */
  approve(
    ticket: string,
    answer: { readonly digest: string; readonly by: string; readonly reason?: string },
  ): Promise<void>;
  refuse(ticket: string, answer: { readonly reason: string; readonly by: string }): Promise<void>;
  /** Refuses those for which nobody answered in time. */
  expire(now: number): Promise<void>;
  /** When the first of them does; undefined when none waits. */
  nextDue(): number | undefined;
  pending(): readonly Pending[];
  /** Refuses all. */
  close(): void;
}

interface Waiting {
  readonly ticket: string;
  readonly review: GitReview;
  readonly at: number;
  readonly deadline: number;
  readonly answer: (answer: GitReviewAnswer) => void;
}

/** A person's pace: pushes wait in the gate, and it lets no more than a few. */
const MOST_WAITING = 16;
const NOBODY_ANSWERED = "nobody answered in time, and the answer is no";

export function createPushReviews(options: PushReviewOptions): PushReviews {
  const { bottle, log, patienceMs, clock, notify } = options;
  const waiting = new Map<string, Waiting>();

  function named(ticket: string): Waiting {
    const push = waiting.get(ticket);
    if (push === undefined) throw new Error(`no push waits as ${ticket}`);
    return push;
  }

  async function settle(push: Waiting, answer: GitReviewAnswer, by: string): Promise<void> {
    const { ticket, review } = push;
    waiting.delete(ticket);
    const { note } = answer;
    const event = answer.decision === "approve" ? "review.approved" : "review.refused";
    const { repo, updates } = review;
    try {
      await log.append(event, { ticket, repo, updates, by, ...(note !== undefined && { note }) });
    } catch (error) {
      push.answer({ decision: "refuse", note: "the bottle's log could not be written" });
      throw error;
    }
    push.answer(answer);
  }

  const digestOf = ({ ticket, review }: Waiting): string =>
    createHash("sha256").update(canonicalJson({ bottle, ticket, review })).digest("hex");

  return {
    async ask(data) {
      const parsed = gitReviewSchema.safeParse(data);
      if (!parsed.success || waiting.size >= MOST_WAITING) {
        const note = parsed.success ? "too many pushes wait already" : "the gate's question made no sense";
        await log.append("review.refused", { by: "keeper", note });
        return { answered: Promise.resolve({ decision: "refuse", note }) };
      }
      const review = parsed.data;
      const at = clock();
      const ticket = randomBytes(16).toString("hex");
      const deadline = at + patienceMs;
      const { repo, updates, commitCount, fileCount } = review;
      const event = { ticket, repo, updates, commitCount, fileCount, deadline };
      await log.append("review.asked", event);
      const answered = new Promise<GitReviewAnswer>((answer) => {
        waiting.set(ticket, { ticket, review, at, deadline, answer });
      });
      notify("review.asked", event);
      return { answered };
    },
    has: (ticket) => waiting.has(ticket),
    async approve(ticket, { digest, by, reason }) {
      const push = named(ticket);
      if (digest !== digestOf(push)) throw new UserError("this is another push", { hint: "bottle inbox" });
      await settle(push, { decision: "approve", ...(reason !== undefined && { note: reason }) }, by);
    },
    refuse: (ticket, { reason, by }) => settle(named(ticket), { decision: "refuse", note: reason }, by),
    async expire(now) {
      for (const push of [...waiting.values()].filter(({ deadline }) => deadline <= now))
        await settle(push, { decision: "refuse", note: NOBODY_ANSWERED }, "deadline");
    },
    nextDue() {
      const [first] = [...waiting.values()].map(({ deadline }) => deadline).sort((a, b) => a - b);
      return first;
    },
    pending: () =>
      [...waiting.values()].map((push): Pending => {
        const { answer: _answer, ...shown } = push;
        return { kind: "push", ...shown, digest: digestOf(push) };
      }),
    close() {
      for (const push of waiting.values()) push.answer({ decision: "refuse", note: "the bottle is ending" });
      waiting.clear();
    },
  };
}
