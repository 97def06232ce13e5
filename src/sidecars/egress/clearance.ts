/**
 * I8: what egress lets out is on the bottle's log before it leaves, and what cannot be recorded does not.
 * One line clears what it says (a method, a host, the credentials that go there) for the rest of its second, so that
 * a busy bottle pays for the disk once a second and not with every request. How each request ended is told
 * afterwards (events.ts), and not waited for.
 */
import { type Refusal, refuse } from "./denial.ts";
import type { Limits } from "./limits.ts";

/** Resolves once the event is on the log; rejects when that cannot be said. */
export type RecordEvent = (event: string, data: object) => Promise<void>;

/** What is to be let out. */
export interface Passage {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  /** Without query. Only the first of a second is recorded with it. */
  readonly path: string;
  /** Names of the headers that are injected. */
  readonly credential: readonly string[];
  /** On which it hangs. */
  readonly grant?: { readonly id: string; readonly isCounted: boolean } | undefined;
}

export interface Clearance {
  /** Undefined when it may leave at once; else what came of recording it. */
  of(passage: Passage): Promise<Refusal | undefined> | undefined;
  /** Ends the second: call it once each. */
  renew(): void;
}

export function createClearance(record: RecordEvent, limits: Limits): Clearance {
  const coming = new Map<string, Promise<Refusal | undefined>>();
  let cleared = new Set<string>();

  function begin(key: string, data: object): Promise<Refusal | undefined> {
    const into = cleared;
    const recording = record("egress.admitted", data).then(
      () => void into.add(key),
      () => unrecorded(),
    );
    coming.set(key, recording);
    void recording.finally(() => {
      if (coming.get(key) === recording) coming.delete(key);
    });
    return recording;
  }

  const recordAlone = (data: object): Promise<Refusal | undefined> =>
    record("egress.admitted", data).then(() => undefined, unrecorded);

  return {
    of({ grant, ...passage }) {
      const { method, scheme, host, credential } = passage;
      const data = { ...passage, ...(grant && { grant: grant.id }) };
      // Each use of what is counted is on the log, however many there are.
      if (grant?.isCounted === true) return recordAlone(data);
      const own = `${method} ${scheme}://${host} ${credential.join()} ${grant?.id ?? ""}`;
      const room = cleared.size + coming.size < limits.eventsPerSecond;
      const isKnown = cleared.has(own) || coming.has(own);
      // A guest can invent hosts and methods without end, where a route leaves it any.
      const key = room || isKnown ? own : OTHERS;
      if (cleared.has(key)) return undefined;
      return coming.get(key) ?? begin(key, key === OTHERS ? { others: true } : data);
    },
    renew() {
      cleared = new Set();
      coming.clear();
    },
  };
}

/** No method has such a name. */
const OTHERS = "others";

function unrecorded(): Refusal {
  return refuse(
    "log-unavailable",
    "the bottle's log could not be written, and nothing leaves unrecorded",
    "every request is on the log before it leaves",
  );
}
