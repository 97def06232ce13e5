import { DETECTORS } from "../../src/inspect/detectors/index.ts";
import { compileInspector } from "../../src/inspect/inspector.ts";

/** One finding, with what it covers. */
export interface Inspected {
  readonly detector: string;
  readonly covered: string;
}

const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32, 7) });

/** What all detectors together find in `text`, bytes as latin1. */
export function inspected(text: string | Uint8Array): Inspected[] {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : Buffer.from(text);
  return inspector
    .scan(bytes)
    .map(({ detector, start, end }) => ({ detector, covered: bytes.toString("latin1", start, end) }));
}
