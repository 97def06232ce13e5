/** A push that waits for the operator: asked over the keeper, answered once, or given up. */
import { randomUUID } from "node:crypto";
import {
  type GitReview,
  type GitReviewAnswer,
  type GitUpdate,
  gitReviewAnswerSchema,
} from "../../../contract/git-gate.ts";
import { printable } from "../../../lib/printable.ts";
import type { Emit } from "../events.ts";
import type { Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import type { Inspected } from "../scan/inspect-push.ts";

export interface Reviews {
  /** Undefined when nobody answered in time, or the agent went away. */
  ask(review: GitReview, signal: AbortSignal): Promise<GitReviewAnswer | undefined>;
  /** False when there is no such question, or this is no answer. */
  answer(ask: string, answer: unknown): boolean;
}

export function createReviews(emit: Emit): Reviews {
  const open = new Map<string, (answer: GitReviewAnswer | undefined) => void>();
  return {
    ask(review, signal) {
      const ask = randomUUID();
      return new Promise((resolve) => {
        const settle = (answer: GitReviewAnswer | undefined): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", giveUp);
          open.delete(ask);
          resolve(answer);
        };
        const giveUp = (): void => settle(undefined);
        const timer = setTimeout(giveUp, LIMITS.reviewMs);
        signal.addEventListener("abort", giveUp);
        open.set(ask, settle);
        emit({ type: "ask", ask, data: review });
        if (signal.aborted) giveUp();
      });
    },
    answer(ask, answer) {
      const settle = open.get(ask);
      const parsed = gitReviewAnswerSchema.safeParse(answer);
      if (settle === undefined || !parsed.success) return false;
      settle(parsed.data);
      return true;
    },
  };
}

/** Of a commit: its id, its author, its subject. */
const FIELDS = 3;
const SHOWN_SUBJECT = 120;
const SHOWN_AUTHOR = 60;
/** Of each list, as JSON: a question that is longer than the keeper reads would end the gate. */
const LIST_BYTES = 64 * 1024;

/** What the operator is shown of it. */
export async function describePush(
  git: Git,
  place: Place,
  push: { readonly repo: string; readonly updates: readonly GitUpdate[]; readonly tips: readonly string[] },
  inspected: Inspected,
): Promise<GitReview> {
  // Of all characters, only a NUL cannot stand in an author's name or a subject: with any other an agent could make up a commit.
  const args = [
    "log",
    "-z",
    `--max-count=${LIMITS.toldReview}`,
    "--format=%H%x00%an%x00%s",
    "--no-show-signature",
  ];
  const text =
    push.tips.length === 0 ? "" : await git.must(place, [...args, ...push.tips, "--not", "--all", "--"]);
  const fields = text.split("\0");
  const commits = Array.from({ length: Math.floor(fields.length / FIELDS) }, (_, i) => {
    const [id = "", author = "", subject = ""] = fields.slice(i * FIELDS, (i + 1) * FIELDS);
    return { id, author: printable(author, SHOWN_AUTHOR), subject: printable(subject, SHOWN_SUBJECT) };
  });
  return {
    kind: "git-push",
    repo: push.repo,
    updates: [...push.updates],
    commits: fitting(commits),
    commitCount: inspected.commits,
    files: fitting(inspected.files),
    fileCount: inspected.fileCount,
  };
}

/** As many of the first as fit. */
function fitting<T>(list: readonly T[]): T[] {
  let bytes = 0;
  const end = list.findIndex((each) => {
    bytes += Buffer.byteLength(JSON.stringify(each)) + 1;
    return bytes > LIST_BYTES;
  });
  return list.slice(0, end < 0 ? list.length : end);
}
