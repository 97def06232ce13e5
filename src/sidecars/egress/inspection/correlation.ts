/**
 * What leaves a little at a time: a value cut over many requests to one host, or more bytes or more randomness than
 * work needs. Nothing is refused for it, since honest work has such days; it is told, once a window.
 */
import { isDocumentedExample } from "../../../inspect/detectors/documented-examples.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";

/** Kept of what a host was sent lately: a key of 512 bytes sent in pieces, with what is between them. */
const REMEMBERED_BYTES = 2048;
/** A larger piece is looked into by itself; only small ones are put together. */
const PIECE_BYTES = 512;
/** Hosts remembered; a guest with a wildcard route could invent them without end. */
const HOSTS = 256;
const WINDOW_MS = 10 * 60_000;
/** In a window, to one host: an agent that uploads that much by way of queries or bodies is worth a look. */
const BUDGET_BYTES = 64 * 1024 * 1024;
/** In a window, to one host, in queries alone: some 2,000 random tokens of 256 bits. */
const BUDGET_BITS = 512 * 1024;

export type Suspicion =
  | { readonly kind: "pieced"; readonly findings: readonly Finding[] }
  | { readonly kind: "bytes"; readonly bytes: number }
  | { readonly kind: "entropy"; readonly bits: number };

interface Memory {
  tail: Buffer;
  since: number;
  bytes: number;
  bits: number;
  toldBytes: boolean;
  toldBits: boolean;
}

export interface Correlation {
  /** The values of a request's query, joined. */
  query(host: string, words: Buffer, now: number): readonly Suspicion[];
  /** A whole body. How random it is says nothing: bodies are packed, and pictures. */
  body(host: string, words: Buffer, now: number): readonly Suspicion[];
  /** Body bytes that left. */
  bytes(host: string, count: number, now: number): readonly Suspicion[];
}

/** @param inspector finds what chance does not make: known secrets, and what begins in a way of its own. */
export function createCorrelation(inspector: Inspector): Correlation {
  /** In order of use, oldest first. */
  const memories = new Map<string, Memory>();

  function memoryOf(host: string, now: number): Memory {
    let memory = memories.get(host);
    memories.delete(host);
    if (memory === undefined || now - memory.since > WINDOW_MS) {
      const tail = memory?.tail ?? Buffer.alloc(0);
      memory = { tail, since: now, bytes: 0, bits: 0, toldBytes: false, toldBits: false };
    }
    memories.set(host, memory);
    const oldest = memories.size > HOSTS ? memories.keys().next().value : undefined;
    if (oldest !== undefined) memories.delete(oldest);
    return memory;
  }

  function pieced(memory: Memory, words: Buffer): readonly Suspicion[] {
    if (words.length === 0 || words.length > PIECE_BYTES) return [];
    const border = memory.tail.length;
    const text = Buffer.concat([memory.tail, words]);
    memory.tail = text.subarray(Math.max(0, text.length - REMEMBERED_BYTES));
    const findings = inspector
      .scan(text)
      .filter((each) => each.start < border && each.end > border && !isExampleBesides(text, border, each));
    return findings.length === 0 ? [] : [{ kind: "pieced", findings }];
  }

  return {
    query(host, words, now) {
      const memory = memoryOf(host, now);
      const suspicions = pieced(memory, words);
      memory.bits += entropyOf(words);
      if (memory.bits <= BUDGET_BITS || memory.toldBits) return suspicions;
      memory.toldBits = true;
      return [...suspicions, { kind: "entropy", bits: Math.round(memory.bits) }];
    },
    body: (host, words, now) => pieced(memoryOf(host, now), words),
    bytes(host, count, now) {
      const memory = memoryOf(host, now);
      memory.bytes += count;
      if (memory.bytes <= BUDGET_BYTES || memory.toldBytes) return [];
      memory.toldBytes = true;
      return [{ kind: "bytes", bytes: memory.bytes }];
    },
  };
}

/** A published example, whole in what was sent before or in what comes now, and a word beside it. */
function isExampleBesides(text: Buffer, border: number, { kind, start, end }: Finding): boolean {
  if (kind !== "pattern") return false;
  return [text.toString("latin1", start, border), text.toString("latin1", border, end)].some(
    isDocumentedExample,
  );
}

/** Shannon's, of the bytes as they are distributed here, in bits of the whole. */
function entropyOf(bytes: Buffer): number {
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  let bits = 0;
  for (const count of counts) if (count > 0) bits += count * Math.log2(bytes.length / count);
  return bits;
}
