/** Whatever is wrapped around a secret, in whatever pieces it comes, it is found; whatever bytes come, it ends. */
import { deflateRawSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DETECTORS } from "../../src/inspect/detectors/index.ts";
import { compileInspector } from "../../src/inspect/inspector.ts";
import { type Budget, inspectContent } from "../../src/sidecars/git-gate/scan/content.ts";
import { fuzzRun } from "../support/fuzz-run.ts";
import { TOKEN } from "../support/git-gate.ts";

const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32, 3) });
const { seed, milliseconds, timeout } = fuzzRun("git-gate-content");
/** As many as fit into half of the time: there are two properties. */
const RUNS = { seed, numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: milliseconds / 2 };

async function look(bytes: Buffer, cuts: readonly number[]): Promise<{ found: string[]; budget: Budget }> {
  const budget: Budget = { unpacked: 0, refusal: undefined };
  const found: string[] = [];
  const content = inspectContent(
    {
      inspector,
      budget,
      found: (finding) => void found.push(finding.detector),
      unopened: () => {},
      path: () => "file",
    },
    bytes.length,
  );
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...ends, bytes.length]) {
    await content.push(bytes.subarray(from, to));
    from = to;
  }
  await content.end();
  return { found, budget };
}

const LAYERS = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  zip: (bytes: Buffer) => {
    const head = Buffer.alloc(31);
    head.write("PK\x03\x04", "latin1");
    head.writeUInt16LE(20, 4);
    head.writeUInt16LE(8, 6);
    head.writeUInt16LE(8, 8);
    head.writeUInt16LE(1, 26);
    head.write("n", 30);
    return Buffer.concat([head, deflateRawSync(bytes), Buffer.from("PK\x07\x08", "latin1")]);
  },
  junk: (bytes: Buffer) =>
    Buffer.concat([Buffer.from("junk PK\x03 \x1f\x8b", "latin1"), bytes, Buffer.alloc(70, 1)]),
  tar: (bytes: Buffer) => Buffer.concat([Buffer.alloc(512), bytes, Buffer.alloc(1024)]),
} as const;

const layers = fc.array(fc.constantFrom(...(Object.keys(LAYERS) as (keyof typeof LAYERS)[])), {
  maxLength: 4,
});
const cuts = fc.array(fc.nat(), { maxLength: 20 });

describe("a file with archives in it", () => {
  it(
    "shows its secret, whatever lies around it and however it comes",
    async () => {
      await fc.assert(
        fc.asyncProperty(layers, cuts, fc.nat(50_000), async (names, at, padding) => {
          let bytes = Buffer.from(`${"a line of words\n".repeat(padding / 16)}key = ${TOKEN}\n`);
          for (const name of names) bytes = Buffer.from(LAYERS[name](bytes));
          const { found, budget } = await look(bytes, at);
          expect(budget.refusal).toBe(undefined);
          expect(found).toContain("github-token");
        }),
        RUNS,
      );
    },
    timeout,
  );

  it(
    "that is anything at all comes to its end within its bounds",
    async () => {
      const piece = fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        fc
          .constantFrom("PK\x03\x04", "\x1f\x8b\x08", "\x1f\x8b\x08\x00")
          .map((text) => Buffer.from(text, "latin1")),
        fc.uint8Array({ maxLength: 100 }).map((bytes) => LAYERS.zip(Buffer.from(bytes))),
        fc.uint8Array({ maxLength: 100 }).map((bytes) => LAYERS.gzip(Buffer.from(bytes)).subarray(0, -5)),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 30 }), cuts, async (pieces, at) => {
          const { budget } = await look(Buffer.concat(pieces), at);
          expect(budget.unpacked).toBeLessThan(10_000_000);
        }),
        RUNS,
      );
    },
    timeout,
  );
});
