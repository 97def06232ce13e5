import type { Detector } from "./detector.ts";
import type { Finding } from "./finding.ts";

/** A value that must not leave: held by a sidecar, bound to hosts by the operator, or planted as a decoy. */
export interface KnownSecret {
  /** Stands in findings instead of the value. */
  readonly name: string;
  readonly kind: "known" | "canary";
  /** At least MIN_KNOWN bytes, or compileInspector throws a UserError that names it. */
  readonly value: string | Uint8Array;
}

/** An operator's own rule; RE2 syntax, over bytes as latin1. */
export interface OwnRule {
  readonly id: string;
  readonly pattern: string;
}

export interface InspectorOptions {
  readonly detectors: readonly Detector[];
  readonly known?: readonly KnownSecret[];
  readonly rules?: readonly OwnRule[];
  /** Look for phrases of prompt injection (responses). */
  readonly phrases?: boolean;
  /** Key of the fingerprints; keep it for as long as the same value should get the same mark. */
  readonly fingerprintKey: Uint8Array;
}

export interface Inspector {
  /** All findings of a whole text, by start, none inside another of the same detector. */
  scan(text: Uint8Array): Finding[];
  /** The same findings for a text that comes in pieces, in constant memory. */
  stream(): InspectionStream;
}

export interface InspectionStream {
  push(chunk: Uint8Array): Released;
  /** What is left. The stream is spent. */
  end(): Released;
}

export interface Released {
  /** Bytes that can no longer become part of a finding: pass them on, after masking. */
  readonly bytes: Buffer;
  /** Findings that lie in `bytes`; offsets count from the beginning of `bytes`. None is ever split. */
  readonly findings: readonly Finding[];
}
