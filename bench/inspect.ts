/**
 * What inspection costs a byte, all detectors on: texts that agents send, the worst text that a search finds in this
 * very run, small requests, and starting. Each text is scanned in pieces that fit a processor's turn, and each piece's
 * fastest scan counts: on a busy machine the others time the neighbours. The bench fails if a planted secret is missed.
 */
import { DETECTORS } from "../src/inspect/detectors/index.ts";
import { compileInspector, type Inspector } from "../src/inspect/inspector.ts";
import { besides } from "./inspect-others.ts";
import { base64OfBinary, base64OfText, jsonLogs, prose, randomBytes, sourceCode } from "./inspect-texts.ts";
import { searchWorst } from "./inspect-worst.ts";
import { type BenchRow, row } from "./row.ts";

const SIZE = 10 * 2 ** 20;
const PIECE = 128 * 1024;
const ROUNDS = 15;
/** Of the pieces, so that a run takes a minute. */
const EVERY = 8;
const KILOBYTE = 1024;
const SEARCH_SEED = 7;

export async function benchInspect(): Promise<BenchRow[]> {
  const begin = performance.now();
  const inspector = compile();
  const compiled = performance.now() - begin;
  const request = jsonLogs(KILOBYTE);
  const first = performance.now();
  inspector.scan(request);
  const cold = performance.now() - first;

  const texts: readonly (readonly [string, Buffer])[] = [
    ["source code", sourceCode(SIZE)],
    ["JSON logs", jsonLogs(SIZE)],
    ["one 10 MB base64 line, binary inside", base64OfBinary(SIZE)],
    ["one 10 MB base64 line, source code inside", base64OfText(SIZE)],
    ["prose", prose(SIZE)],
    ["random bytes", randomBytes(SIZE)],
  ];
  const rows: BenchRow[] = [];
  for (const [name, text] of texts) {
    assertCaught(inspector, text);
    rows.push(throughput(inspector, name, text));
  }
  const worst = searchWorst(inspector, DETECTORS, SEARCH_SEED);
  rows.push(throughput(inspector, "the worst text found", worst.text, worst.description));
  rows.push(smallRequests(inspector, request));
  rows.push(row("first request of 1 KiB", "ms", [cold]));
  rows.push(row("compiling the inspector", "ms", [compiled], `${DETECTORS.length} detectors, cold`));
  rows.push(...besides("source code", sourceCode(SIZE)));
  return rows;
}

function compile(): Inspector {
  const known = [{ name: "bench", kind: "known", value: plantedSecret() } as const];
  return compileInspector({ detectors: DETECTORS, known, fingerprintKey: Buffer.alloc(32, 1) });
}

function plantedSecret(): string {
  return ["Zq81Lm0x", "Vt6RkWy2", "PbNcA4jD"].join("");
}

/** The very text that is timed, with a secret in its middle, is caught. */
function assertCaught(inspector: Inspector, text: Buffer): void {
  const marked = Buffer.from(text.subarray(0, PIECE));
  Buffer.from(` ${plantedSecret()} `).copy(marked, PIECE / 2);
  if (!inspector.scan(marked).some(({ detector }) => detector === "bench"))
    throw new Error("missed a planted secret");
}

function throughput(inspector: Inspector, name: string, text: Buffer, note?: string): BenchRow {
  const samples: number[] = [];
  for (let at = 0; at < text.length; at += PIECE * EVERY) {
    const piece = text.subarray(at, at + PIECE);
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const begin = process.hrtime.bigint();
      inspector.scan(piece);
      least = Math.min(least, Number(process.hrtime.bigint() - begin));
    }
    samples.push((piece.length / least) * 1000);
  }
  return row(`inspect ${name}`, "MB/s", samples, note);
}

function smallRequests(inspector: Inspector, request: Buffer): BenchRow {
  const samples: number[] = [];
  for (let round = 0; round < 200; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < 100; i++) inspector.scan(request);
    samples.push(Number(process.hrtime.bigint() - begin) / 100_000);
  }
  return row("inspect a request of 1 KiB", "microseconds", samples);
}
