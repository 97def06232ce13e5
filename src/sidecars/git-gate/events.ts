/**
 * Decisions, told to the keeper. What lets something out or in is on the bottle's log before it happens, and what cannot be
 * recorded does not happen (I8); how it ended is told afterwards, and not waited for. What passed is told one by one: it
 * has cost a talk with upstream. What was refused may have cost nothing, and fill the disk with its log: those above a rate are
 * counted and told together.
 */
import type { z } from "zod";
import type { GitFinding, GitUpdate, gitEventSchemas } from "../../contract/git-gate.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { type Refusal, refuse, type Subject, targetOf } from "./denial.ts";
import type { Limits } from "./limits.ts";

export type Emit = (message: FromSidecar) => void;
/** Resolves once the event is on the log; rejects when that cannot be said. */
export type RecordEvent = (event: string, data: Readonly<Record<string, unknown>>) => Promise<void>;
type EventData = { [K in keyof typeof gitEventSchemas]: z.infer<(typeof gitEventSchemas)[K]> };

interface Counted {
  readonly data: EventData["git.refused"];
  /** By rule, the first of each, without what the guest chose of it. */
  readonly findings: Map<string, GitFinding>;
  count: number;
}

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
  const counted = new Map<string, Counted>();
  let told = 0;

  /** @param known the part of `subject` that the guest cannot invent without end. */
  function refused(
    refusal: Refusal,
    subject: Subject,
    known: Subject,
    updates: readonly GitUpdate[] = [],
  ): void {
    const { code, reason, rule, findings = [] } = refusal;
    const data = (of: Subject): EventData["git.refused"] => ({
      ...(of.repo !== undefined && { repo: of.repo }),
      ...{ code, reason, target: targetOf(of), rule, updates: [], findings: [], count: 1 },
    });
    if (told < limits.eventsPerSecond) {
      // Each ref and each finding is a line of its own, as long as a request's may be.
      told += Math.max(1, updates.length + findings.length);
      tell("git.refused", { ...data(subject), updates: [...updates], findings: [...findings] });
      return;
    }
    const key = `${code} ${targetOf(known)}`;
    const entry = counted.get(key) ?? { data: data(known), findings: new Map(), count: 0 };
    entry.count += 1;
    // None may hide among others that it held the decoy.
    for (const { rule, kind, mark, in: where } of findings) {
      if (!entry.findings.has(rule)) entry.findings.set(rule, { rule, kind, mark, in: where });
    }
    counted.set(key, entry);
  }

  return {
    fetched: (data) => recorded("git.fetched", data),
    forwarding: (data) => recorded("git.forwarding", data),
    pushed: (data) => tell("git.pushed", data),
    unresolved: (data) => tell("git.unresolved", data),
    refusedPush(refusal, repo, updates) {
      const known: Subject = { action: "push", repo };
      refused(refusal, { ...known, what: updates.map(({ ref }) => ref) }, known, updates);
    },
    refusedRequest: (refusal, subject) => refused(refusal, subject, { action: subject.action }),
    log: (level, text) => emit({ type: "log", level, text }),
    flush() {
      told = 0;
      for (const { data, findings, count } of counted.values())
        tell("git.refused", { ...data, findings: [...findings.values()], count });
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
