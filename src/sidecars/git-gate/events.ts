/**
 * Decisions, told to the keeper. What lets something out or in is on the bottle's log before it happens, and what cannot be
 * recorded does not happen (I8); how it ended is told afterwards, and not waited for. Pushes and fetches are told one by one: each has cost a talk with upstream.
 * Requests that were refused cost nothing, so those above a rate are counted and told together.
 */
import type { z } from "zod";
import type { GitUpdate, gitEventSchemas } from "../../contract/git-gate.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { type Refusal, refuse, type Subject, targetOf } from "./denial.ts";
import type { Limits } from "./limits.ts";

export type Emit = (message: FromSidecar) => void;
/** Resolves once the event is on the log; rejects when that cannot be said. */
export type RecordEvent = (event: string, data: Readonly<Record<string, unknown>>) => Promise<void>;
type EventData = { [K in keyof typeof gitEventSchemas]: z.infer<(typeof gitEventSchemas)[K]> };

export interface Reporter {
  /** Undefined once it is recorded: only then may it be done. */
  fetched(data: EventData["git.fetched"]): Promise<Refusal | undefined>;
  forwarding(data: EventData["git.forwarding"]): Promise<Refusal | undefined>;
  pushed(data: EventData["git.pushed"]): void;
  unresolved(data: EventData["git.unresolved"]): void;
  refusedPush(refusal: Refusal, repo: string, updates: readonly GitUpdate[]): void;
  refusedRequest(refusal: Refusal, subject: Subject): void;
  log(level: "info" | "warn" | "error", text: string): void;
  /** Ends the second: call it once each. */
  flush(): void;
}

export function createReporter(emit: Emit, record: RecordEvent, limits: Limits): Reporter {
  const tell = <K extends keyof EventData>(event: K, data: EventData[K]): void =>
    emit({ type: "event", event, data });
  const recorded = <K extends keyof EventData>(event: K, data: EventData[K]): Promise<Refusal | undefined> =>
    record(event, data).then(() => undefined, unrecorded);
  const counted = new Map<string, { data: EventData["git.refused"]; count: number }>();
  let told = 0;

  const refused = (
    refusal: Refusal,
    subject: Subject,
    updates: readonly GitUpdate[],
  ): EventData["git.refused"] => ({
    ...(subject.repo !== undefined && { repo: subject.repo }),
    code: refusal.code,
    reason: refusal.reason,
    target: targetOf(subject),
    rule: refusal.rule,
    updates: [...updates],
    findings: [...(refusal.findings ?? [])],
    count: 1,
  });

  return {
    fetched: (data) => recorded("git.fetched", data),
    forwarding: (data) => recorded("git.forwarding", data),
    pushed: (data) => tell("git.pushed", data),
    unresolved: (data) => tell("git.unresolved", data),
    refusedPush(refusal, repo, updates) {
      const subject: Subject = { action: "push", repo, what: updates.map(({ ref }) => ref) };
      tell("git.refused", refused(refusal, subject, updates));
    },
    refusedRequest(refusal, subject) {
      if (++told <= limits.eventsPerSecond) {
        tell("git.refused", refused(refusal, subject, []));
        return;
      }
      // By code alone: the guest could invent targets without end.
      const entry = counted.get(refusal.code) ?? {
        data: refused(refusal, { action: subject.action }, []),
        count: 0,
      };
      entry.count += 1;
      counted.set(refusal.code, entry);
    },
    log: (level, text) => emit({ type: "log", level, text }),
    flush() {
      told = 0;
      for (const { data, count } of counted.values()) tell("git.refused", { ...data, count });
      counted.clear();
    },
  };
}

function unrecorded(): Refusal {
  return refuse(
    "log-unavailable",
    "the bottle's log could not be written, and nothing passes unrecorded",
    "every push and fetch is on the log before it passes",
  );
}
