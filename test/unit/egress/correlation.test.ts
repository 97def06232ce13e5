/** What honest programs send in many small requests: none of it is told as a secret in pieces. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { DETECTORS } from "../../../src/inspect/detectors/index.ts";
import { compileInspector } from "../../../src/inspect/inspector.ts";
import { createCorrelation, type Suspicion } from "../../../src/sidecars/egress/inspection/correlation.ts";
import { talk } from "../../support/long-conversation.ts";
import { textsUnder } from "../../support/ordinary-work.ts";
import { checksummed } from "../../support/secret-examples/checksummed.ts";

const inspector = compileInspector({
  detectors: DETECTORS.filter(({ trigger }) => trigger.kind === "keyword"),
  fingerprintKey: Buffer.alloc(32, 5),
});
const ROUNDS = 400;

/** As random as any, and the same on each run. */
const digest = (i: number): Buffer => createHash("sha256").update(String(i)).digest();
const uuid = (i: number): string =>
  digest(i)
    .toString("hex", 0, 16)
    .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
const talked = talk()
  .split("\n")
  .filter((line) => line !== "");
const source = [...textsUnder("node_modules/zod", 1_000_000)]
  .flatMap(({ bytes }) => bytes.toString("latin1").split("\n"))
  .filter(({ length }) => length > 3 && length < 400);

const SMALL: Readonly<Record<string, (i: number) => string>> = {
  "identifiers in JSON": (i) => JSON.stringify({ id: uuid(i), parent: uuid(i + 1), seq: i }),
  hashes: (i) => digest(i).toString("hex"),
  "where a list goes on": (i) => Buffer.from(`cursor:v2:${uuid(i)}`).toString("base64"),
  "random words": (i) => digest(i).toString("base64url"),
  "numbers and dates": (i) => `since=${new Date(i * 1e9).toISOString()}&page=${i}&limit=100`,
  telemetry: (i) => JSON.stringify({ event: "tool_used", session: uuid(0), trace: uuid(i), ms: i / 7 }),
  "lines of source": (i) => source[(i * 7919) % source.length] ?? "",
  "lines of a talk about keys": (i) => talked[i % talked.length] ?? "",
};

function suspicions(words: (i: number) => string): readonly Suspicion[] {
  const correlation = createCorrelation(inspector);
  return Array.from({ length: ROUNDS }, (_, i) => [
    ...correlation.query("a.test", Buffer.from(words(i)), 0),
    ...correlation.body("b.test", Buffer.from(words(i)), 0),
  ]).flat();
}

describe("many small requests", () => {
  it.each(Object.entries(SMALL))("of %s are no secret in pieces", (_what, words) => {
    expect(suspicions(words).filter(({ kind }) => kind === "pieced")).toEqual([]);
  });

  it.each(Object.entries(SMALL))("of %s with one among them are", (_what, words) => {
    const key = checksummed("ghp_", 30);
    const pieces = new Map([...key].map((letter, i) => [ROUNDS / 2 + i, letter]));
    const told = suspicions((i) => pieces.get(i) ?? words(i)).flatMap((each) =>
      each.kind === "pieced" ? each.findings.map(({ detector }) => detector) : [],
    );
    expect(new Set(told)).toEqual(new Set(["github-token"]));
  });
});
