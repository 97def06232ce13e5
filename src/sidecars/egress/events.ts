/**
 * Decisions, told to the keeper. None is lost and none floods: in each second the first ones are told one
 * by one, the others folded by what they have in common, with a count and sums, and told at its end. How much is
 * told of what was allowed is the operator's choice; a denial always is.
 */
import type { EgressLogLevel } from "../../contract/policy.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import type { Finding } from "../../inspect/finding.ts";
import { printable } from "../../lib/printable.ts";
import { type Refusal, type Subject, targetOf } from "./denial.ts";
import type { Suspicion } from "./inspection/correlation.ts";
import type { Limits } from "./limits.ts";

export type Emit = (message: FromSidecar) => void;

export interface Allowed {
  readonly method: string;
  readonly host: string;
  /** Without query. */
  readonly path: string;
  /** What kind of exchange it was. */
  readonly via: "http" | "websocket" | "passthrough";
  /** The upstream's; 0 when the client left before there was one. */
  readonly status: number;
  /** Body bytes from and to the guest. */
  readonly up: number;
  readonly down: number;
  readonly ms: number;
  /** Names of the headers that were injected. */
  readonly credential: readonly string[];
  /** On which it hung. */
  readonly grant?: string;
  /** False when one side broke off before the end. */
  readonly complete: boolean;
  /** As they came, flat: name, value. Values are never told. */
  readonly headers?: readonly string[];
  readonly answerHeaders?: readonly string[];
}

interface Folded {
  readonly event: string;
  readonly data: Record<string, unknown>;
  count: number;
  up: number;
  down: number;
}

export interface Reporter {
  allowed(event: Allowed): void;
  denied(refusal: Refusal, subject: Subject): void;
  /** Something left, or came, without these. */
  masked(findings: readonly Finding[], subject: Subject): void;
  /** Something left by a grant although it was found. */
  excepted(finding: Finding, grant: string, host: string): void;
  /** What came tries to instruct the agent. */
  flagged(findings: readonly Finding[], subject: Subject): void;
  /** Worth a look, over many requests. */
  suspicious(suspicion: Suspicion, subject: Subject): void;
  /** Ends the second: call it once each. */
  flush(): void;
}

export function createReporter(emit: Emit, limits: Limits, level: EgressLogLevel = 1): Reporter {
  const folded = new Map<string, Folded>();
  let told = 0;

  const tell = (event: string, data: object): void => emit({ type: "event", event, data: { ...data } });

  /**
   * @param kind what is told of it however many there are: a flood must not hide that among it was the decoy, or what
   *     hangs on a grant. The guest has no say in how many kinds there are.
   */
  function fold(
    event: string,
    kind: Readonly<Record<string, string | undefined>>,
    key: readonly string[],
    data: Record<string, unknown>,
    up = 0,
    down = 0,
  ): void {
    const full = folded.size >= limits.countedEvents;
    const kinds = Object.values(kind).join("\n");
    let id = `${event}\n${kinds}\n${key.join("\n")}`;
    if (full && !folded.has(id)) {
      id = `${event}\n${kinds}`;
      data = { others: true, ...kind };
    }
    const entry = folded.get(id) ?? { event, data, count: 0, up: 0, down: 0 };
    entry.count += 1;
    entry.up += up;
    entry.down += down;
    folded.set(id, entry);
  }

  function found(event: string, findings: readonly Finding[], subject: Subject): void {
    for (const { detector, fingerprint, through } of findings) {
      if (++told <= limits.eventsPerSecond) {
        tell(event, { target: targetOf(subject), detector, finding: fingerprint, through });
      } else {
        const target = targetOf({ method: subject.method, host: subject.host ?? "?" });
        fold(event, { detector }, [target], { target, detector });
      }
    }
  }

  return {
    allowed({ headers, answerHeaders, ...event }) {
      if (level === 0) return;
      if (++told <= limits.eventsPerSecond) {
        const sizes = level === 2 && {
          headers: sizesOf(headers, limits),
          answerHeaders: sizesOf(answerHeaders, limits),
        };
        tell("egress.allowed", { ...event, ...sizes });
      } else {
        const { method, host, via, status, credential, grant } = event;
        const data = { method, host, via, status, credential, ...(grant !== undefined && { grant }) };
        const kind = grant === undefined ? {} : { grant };
        fold("egress.allowed", kind, [method, host, via, String(status)], data, event.up, event.down);
      }
    },
    denied({ code, rule }, subject) {
      if (++told <= limits.eventsPerSecond) {
        tell("egress.denied", { code, target: targetOf(subject), rule });
      } else {
        const host = targetOf({ method: subject.method, host: subject.host ?? "?" });
        fold("egress.denied", { code }, [host], { code, target: host, rule });
      }
    },
    masked: (findings, subject) => found("egress.masked", findings, subject),
    excepted({ detector, fingerprint }, grant, host) {
      const data = { host: printable(host), detector, finding: fingerprint, grant };
      if (++told <= limits.eventsPerSecond) tell("egress.excepted", data);
      else fold("egress.excepted", { grant }, [host, fingerprint], data);
    },
    flagged: (findings, subject) => found("egress.flagged", findings, subject),
    suspicious(suspicion, subject) {
      const target = targetOf({ method: subject.method, host: subject.host ?? "?" });
      if (suspicion.kind === "pieced") found("egress.pieced", suspicion.findings, subject);
      else if (++told <= limits.eventsPerSecond) tell("egress.budget", { target, ...suspicion });
      else {
        const { kind } = suspicion;
        fold("egress.budget", { kind }, [target], { target, kind });
      }
    },
    flush() {
      told = 0;
      for (const { event, data, count, up, down } of folded.values()) {
        tell(event, { ...data, count, ...(event === "egress.allowed" && { up, down }) });
      }
      folded.clear();
    },
  };
}

/** Names as they came, and the bytes of each value: what a cookie or a token grew to shows, and not what it is. */
function sizesOf(raw: readonly string[] | undefined, limits: Limits): readonly string[] {
  const sizes: string[] = [];
  for (let i = 0; i + 1 < (raw?.length ?? 0) && sizes.length < limits.toldHeaders; i += 2) {
    sizes.push(
      `${printable(raw?.[i] ?? "", limits.toldHeaderName)}: ${Buffer.byteLength(raw?.[i + 1] ?? "")}`,
    );
  }
  return sizes;
}
