import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { INSPECTED } from "../../../src/contract/policy.ts";
import { compileInspector } from "../../../src/inspect/inspector.ts";
import type { Refusal } from "../../../src/sidecars/egress/denial.ts";
import type { Coding } from "../../../src/sidecars/egress/inspection/content-coding.ts";
import { type Framing, OutgoingBody } from "../../../src/sidecars/egress/inspection/outgoing-body.ts";
import { ruleOn } from "../../../src/sidecars/egress/inspection/ruling.ts";
import { LIMITS, type Limits } from "../../../src/sidecars/egress/limits.ts";
import { memoryInUse } from "../../support/memory.ts";

const KNOWN = ["tr4ffic", "Lamp", "9Kd2", "WinDow", "77xQ"].join("-");
const inspector = compileInspector({
  detectors: [],
  known: [{ name: "KEY", kind: "known", value: KNOWN }],
  fingerprintKey: Buffer.alloc(32, 1),
});
const LINE = '{"id": 4711, "ok": true},\n';

/** As slow as it is told to be. */
class Sink extends Writable {
  readonly chunks: Buffer[] = [];
  stuck = false;
  #release: (() => void) | undefined;
  constructor() {
    super({ highWaterMark: 16 * 1024 });
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    if (this.stuck) this.#release = done;
    else done();
  }
  free(): void {
    this.stuck = false;
    this.#release?.();
  }
  get bytes(): number {
    return this.chunks.reduce((sum, { length }) => sum + length, 0);
  }
}

interface Started {
  readonly source: PassThrough;
  readonly body: OutgoingBody;
  readonly held: { bytes: number };
  readonly cleared: Framing[];
  readonly refused: Refusal[];
}

function start(
  options: {
    readonly contentLength?: number;
    readonly coding?: Coding;
    readonly limits?: Partial<Limits>;
    readonly held?: { bytes: number };
  } = {},
): Started {
  const source = new PassThrough();
  const held = options.held ?? { bytes: 0 };
  const cleared: Framing[] = [];
  const refused: Refusal[] = [];
  const route = { host: "a.test", credential: [], inspection: INSPECTED };
  const place = { surface: "the body", host: "a.test", isBody: true };
  const body = new OutgoingBody(
    source,
    {
      contentLength: options.contentLength === undefined ? undefined : String(options.contentLength),
      coding: options.coding,
      inspector,
      rule: (findings) => ruleOn(findings, place, route, () => false),
      limits: { ...LIMITS, ...options.limits },
      held,
    },
    {
      cleared: (framing) => void cleared.push(framing),
      refused: (refusal) => void refused.push(refusal),
      masked: () => {},
      whole: () => undefined,
      received: () => {},
    },
  );
  return { source, body, held, cleared, refused };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 30));

/** What it is once it does not change any more. */
async function still(measure: () => number): Promise<number> {
  let last = measure();
  for (let same = 0; same < 5; same++) {
    await settled();
    const now = measure();
    if (Math.abs(now - last) > 64 * 1024) same = -1;
    last = now;
  }
  return last;
}

function sendTo(sink: Sink, body: OutgoingBody): void {
  sink.on("drain", () => body.drained());
  body.sendTo({ write: (bytes) => sink.write(bytes), flush: () => {}, end: () => void sink.end() });
}

describe("what bodies hold", () => {
  it("is given back when one is sent, refused, broken off, cut short, or longer than it said", async () => {
    const leave = (source: PassThrough, error?: Error): void => {
      source.write(LINE);
      source.destroy(error);
    };
    const ends: [string, Parameters<typeof start>[0], (source: PassThrough) => void][] = [
      ["sent", {}, (source) => source.end(LINE)],
      ["refused", {}, (source) => source.end(KNOWN)],
      ["broken off", {}, (source) => leave(source)],
      ["broken off by an error", {}, (source) => leave(source, new Error("gone"))],
      ["cut short", { contentLength: 1000 }, (source) => source.end(LINE)],
      ["longer", { contentLength: 5 }, (source) => source.end(LINE)],
      ["no gzip", { coding: "gzip" }, (source) => source.end("no gzip")],
      ["half a gzip", { coding: "gzip" }, (source) => source.end(gzipSync(LINE).subarray(0, 20))],
      ["gzip", { coding: "gzip" }, (source) => source.end(gzipSync(LINE))],
      ["too long to hold", { limits: { heldBytes: 1000 } }, (source) => source.end(LINE.repeat(100))],
      [
        "a secret in what is too long to hold",
        { limits: { heldBytes: 1000 } },
        (source) => source.end(LINE.repeat(100) + KNOWN),
      ],
      [
        "a bomb",
        { coding: "gzip", limits: { inflatedBytes: 1000 } },
        (source) => source.end(gzipSync(LINE.repeat(100))),
      ],
    ];
    for (const [what, options, act] of ends) {
      const { source, held } = start(options);
      source.on("error", () => {});
      source.write("");
      act(source);
      for (let i = 0; i < 100 && (i === 0 || held.bytes > 0); i++) await settled();
      expect(held.bytes, what).toBe(0);
    }
  });

  it("is counted over all of them: above it, they are looked into as they pass, and no secret leaves", async () => {
    const held = { bytes: 0 };
    const limits = { allHeldBytes: 4096 };
    const waiting = Array.from({ length: 4 }, () => start({ held, limits }));
    for (const { source } of waiting) source.write(LINE.repeat(38));
    await settled();
    expect(held.bytes).toBe(4 * 38 * LINE.length);
    const next = start({ held, limits });
    const sink = new Sink();
    next.source.write(LINE.repeat(38));
    await settled();
    expect(next.cleared).toEqual([{ chunked: true }]);
    sendTo(sink, next.body);
    next.source.end(KNOWN);
    await settled();
    expect(next.refused.map(({ code }) => code)).toEqual(["secret-found"]);
    expect(sink.chunks).toEqual([]);
    expect(sink.writableEnded).toBe(false);
    for (const { source } of waiting) source.destroy();
    await settled();
    expect(held.bytes).toBe(0);
  });
});

describe("a slow upstream", () => {
  it("is not sent more than it takes, also of a body that unpacks to a thousand times its size", async () => {
    const plain = Buffer.alloc(64 * 1024 * 1024, LINE);
    const packed = gzipSync(plain);
    expect(plain.length / packed.length).toBeGreaterThan(300);
    const { source, body, cleared } = start({ coding: "gzip" });
    const before = process.memoryUsage().arrayBuffers;
    source.end(packed);
    while (cleared.length === 0) await settled();
    // Nobody takes it yet: there is what fits, and a block of the inspector.
    const waiting = (): number => process.memoryUsage().arrayBuffers - before;
    expect(await still(waiting)).toBeLessThan(8 * 1024 * 1024);
    const sink = new Sink();
    sink.stuck = true;
    sendTo(sink, body);
    await still(() => sink.writableLength);
    expect(sink.bytes + sink.writableLength).toBeLessThan(4 * 1024 * 1024);
    sink.free();
    await once(sink, "finish");
    expect(sink.bytes).toBe(plain.length);
  });

  it("makes the guest wait", async () => {
    const { source, body } = start();
    const sink = new Sink();
    sink.stuck = true;
    let sent = 0;
    const chunk = Buffer.alloc(64 * 1024, LINE);
    const push = (): void => {
      while (sent < 32 * 1024 * 1024) {
        sent += chunk.length;
        if (!source.write(chunk)) {
          source.once("drain", push);
          return;
        }
      }
      source.end();
    };
    push();
    await still(() => sent);
    sendTo(sink, body);
    await still(() => sent);
    expect(sent).toBeLessThan(4 * 1024 * 1024);
    sink.free();
    await once(sink, "finish");
    expect(sink.bytes).toBe(32 * 1024 * 1024);
  });
});

describe("a body that comes byte by byte", () => {
  it("takes no more memory than another", async () => {
    const { source, body, cleared, held } = start();
    const text = Buffer.alloc(300_000, LINE);
    const before = memoryInUse();
    for (const byte of text) source.write(Buffer.of(byte));
    await settled();
    expect(held.bytes).toBe(text.length);
    expect(memoryInUse() - before).toBeLessThan(4 * text.length);
    source.end();
    while (cleared.length === 0) await settled();
    const sink = new Sink();
    sendTo(sink, body);
    await settled();
    expect(Buffer.concat(sink.chunks).equals(text)).toBe(true);
  });
});

describe("a body that is longer than it said", () => {
  it("never sends more than it said, or the rest would be the next request", async () => {
    const { source, body, refused } = start({ contentLength: 700_000 });
    const sink = new Sink();
    sendTo(sink, body);
    for (let i = 0; i < 20; i++) source.write(Buffer.alloc(100_000, LINE));
    await settled();
    source.end();
    await settled();
    expect(refused.map(({ code }) => code)).toEqual(["framing-refused"]);
    expect(sink.bytes).toBeLessThanOrEqual(700_000);
    expect(sink.writableEnded).toBe(false);
  });
});

describe("an encoding", () => {
  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
  ] as const)("%s (%o) is undone in any pieces", async (coding, pack) => {
    const packed = pack(Buffer.from(LINE.repeat(50)));
    for (const size of [1, 7, packed.length]) {
      const { source, body, cleared, refused } = start({ coding });
      for (let at = 0; at < packed.length; at += size) source.write(packed.subarray(at, at + size));
      source.end();
      while (cleared.length + refused.length === 0) await settled();
      const sink = new Sink();
      sendTo(sink, body);
      await settled();
      expect(Buffer.concat(sink.chunks).toString()).toBe(LINE.repeat(50));
      expect(cleared).toEqual([{ contentLength: String(50 * LINE.length) }]);
    }
  });
});
