/** Tries detectors that no keyword announces on the runs of bytes that their values are made of. */
import { ALPHANUMERICS, CAPITALS, DIGITS } from "./byte-classes.ts";
import { RUN } from "./events.ts";
import type { Frame } from "./frame.ts";
import type { Ledger } from "./ledger.ts";
import { matchAt, mayBegin, type Probe, reportMatch } from "./probe.ts";
import { stretchEnd, stretchStart } from "./stretch.ts";

/** The byte classes a detector's run can be of. */
export const RUN_CLASSES = { digits: DIGITS, capitals: CAPITALS, alphanumerics: ALPHANUMERICS } as const;
const SEARCHED = DIGITS | CAPITALS | ALPHANUMERICS;

/** A run is noticed in its second, third, twelfth whole word: so many bytes before that it goes on. */
const NOTICED_AFTER: ReadonlyMap<number, number> = new Map([
  [DIGITS, 4],
  [CAPITALS, 8],
  [ALPHANUMERICS, 44],
]);

export interface RunProbe {
  /** One of RUN_CLASSES. */
  readonly of: number;
  readonly min: number;
  readonly probe: Probe;
}

export class RunSearch {
  readonly #runs: readonly RunProbe[];
  readonly #ledger: Ledger;
  #pass = 0;

  constructor(runs: readonly RunProbe[], ledger: Ledger) {
    this.#runs = runs;
    this.#ledger = ledger;
  }

  /** `frame` was swept. */
  search(frame: Frame): void {
    this.#pass++;
    const { events, eventCount } = frame;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      if ((event & 3) !== RUN) continue;
      const classes = events[++i] as number;
      if ((classes & SEARCHED) !== 0) this.#lookAt(frame, event & ~3, classes);
    }
  }

  #lookAt(frame: Frame, at: number, classes: number): void {
    for (const run of this.#runs) if ((classes & run.of) !== 0) this.#try(frame, at, run);
  }

  #try(frame: Frame, word: number, { of, min, probe }: RunProbe): void {
    if (probe.pass !== this.#pass) {
      probe.pass = this.#pass;
      probe.until = 0;
    }
    if (word < probe.until) return;
    const { bytes, length } = frame;
    const { ready } = probe;
    const start = stretchStart(bytes, Math.min(word, length) - (NOTICED_AFTER.get(of) ?? 0), of);
    // An unbroken run is a value or it is not: only its beginning is tried.
    const unbroken = of === ALPHANUMERICS;
    const end = stretchEnd(bytes, word, unbroken ? Math.min(length, start + ready.max + 1) : length, of);
    if (end <= probe.until || end - start < min) return;
    const from = Math.max(start, probe.until);
    const last = unbroken ? from + 1 : end - ready.min + 1;
    probe.until = end;
    for (let at = from; at < last; at++) {
      if (!mayBegin(ready, bytes, at, length)) continue;
      const match = matchAt(probe, frame, at, this.#ledger);
      if (match === undefined) continue;
      reportMatch(this.#ledger, frame, probe, match);
      at = match.end - 1;
    }
  }
}
