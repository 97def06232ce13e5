import type { Duplex } from "node:stream";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMux, type Mux } from "../../../src/lib/mux.ts";

interface Pair {
  readonly near: Mux;
  readonly far: Mux;
  readonly accepted: Duplex[];
  /** What the near side hears; a hostile peer's words go here. */
  readonly toNear: PassThrough;
}

function pair(onAccept: (stream: Duplex) => void = () => {}): Pair {
  const [toFar, toNear] = [new PassThrough(), new PassThrough()];
  const accepted: Duplex[] = [];
  const near = createMux(toNear, toFar);
  const far = createMux(toFar, toNear, (stream) => {
    stream.on("error", () => {});
    accepted.push(stream);
    onAccept(stream);
  });
  return { near, far, accepted, toNear };
}

/** Leaves the other direction alone, which an iterator would not. */
function read(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => resolve(Buffer.concat(chunks)));
    stream.once("error", reject);
  });
}

const closed = (stream: Duplex): Promise<unknown> => new Promise((resolve) => stream.once("close", resolve));
const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));

describe("streams over one pair of pipes", () => {
  it("carry every byte both ways, however it is cut, on all streams at once", async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 200_000 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(chunks, { minLength: 1, maxLength: 5 }), async (all) => {
        const { near } = pair((stream) => stream.pipe(stream));
        const back = await Promise.all(
          all.map(async (parts) => {
            const stream = near.open();
            const reading = read(stream);
            for (const part of parts) stream.write(Buffer.from(part));
            stream.end();
            return reading;
          }),
        );
        for (const [i, parts] of all.entries()) {
          expect(back[i]?.equals(Buffer.concat(parts))).toBe(true);
        }
        near.destroy();
      }),
      { numRuns: 30 },
    );
  });

  it("do not wait for one that nobody reads, and hold little for it", async () => {
    const { near, accepted } = pair();
    const [unread, other] = [near.open(), near.open()];
    let took = 0;
    const chunk = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 100; i++) unread.write(chunk, () => took++);
    const [, far] = accepted;
    await turn();
    other.end("still here");
    expect((await read(accepted[1] ?? other)).toString()).toBe("still here");
    expect(far).toBeDefined();
    for (let i = 0; i < 50; i++) await turn();
    // A window's worth and what the streams' own buffers let go of at once.
    expect(took * chunk.length).toBeLessThanOrEqual(2 * 1024 * 1024);
    expect(took).toBeGreaterThan(0);
    near.destroy();
  });

  it("end each way by itself", async () => {
    const { near, accepted } = pair();
    const stream = near.open();
    stream.end("question");
    await turn();
    const [far] = accepted;
    if (far === undefined) throw new Error("nothing was accepted");
    expect((await read(far)).toString()).toBe("question");
    far.end("answer");
    expect((await read(stream)).toString()).toBe("answer");
  });

  it("are closed on both sides when one is, after what was sent before was read", async () => {
    const { near, accepted } = pair();
    const stream = near.open();
    await turn();
    const [far] = accepted;
    far?.write("last words");
    await turn();
    far?.destroy();
    await turn();
    expect((await read(stream)).toString()).toBe("last words");
    await (stream.closed ? undefined : closed(stream));
    stream.write("for nobody", () => {});
    expect(stream.destroyed).toBe(true);
  });

  it("are all closed when the pipes are, and none can be opened then", async () => {
    const { near, far, accepted } = pair();
    const streams = [near.open(), near.open()];
    await turn();
    const ends = [...streams, ...accepted].map(closed);
    far.destroy();
    await Promise.all([...ends, near.ended, far.ended]);
    expect(near.open().destroyed).toBe(true);
  });

  const frame = (type: number, id: number, payload: Buffer, length = payload.length): Buffer => {
    const header = Buffer.alloc(9);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(id, 1);
    header.writeUInt32BE(length, 5);
    return Buffer.concat([header, payload]);
  };
  const hostile: Readonly<Record<string, readonly Buffer[]>> = {
    "opens a stream": [frame(0, 77, Buffer.alloc(0))],
    "sends a frame that is too long": [frame(1, 1, Buffer.alloc(0), 64 * 1024 + 1)],
    "sends a frame of an unknown kind": [frame(9, 1, Buffer.alloc(0))],
    "sends more than its window": Array.from({ length: 17 }, () => frame(1, 1, Buffer.alloc(64 * 1024))),
    "gives credit that is none": [frame(4, 1, Buffer.alloc(3))],
    "gives more credit than there is window": [frame(4, 1, Buffer.from([0, 0, 0, 1]))],
  };
  it.each(Object.entries(hostile))("end when the other side %s", async (_, frames) => {
    const { near, toNear } = pair();
    const stream = near.open();
    expect(stream.destroyed).toBe(false);
    for (const each of frames) toNear.write(each);
    await near.ended;
    expect(stream.destroyed).toBe(true);
  });

  it("say little to a peer that sends by the byte and hears nothing", async () => {
    const [toNear, toFar] = [new PassThrough(), new PassThrough()];
    const near = createMux(toNear, toFar);
    const stream = near.open();
    let came = 0;
    stream.on("data", (chunk: Buffer) => {
      came += chunk.length;
    });
    const bytes = Buffer.concat(Array.from({ length: 10 }, () => frame(1, 1, Buffer.from("x"))));
    for (let i = 0; i < 1_000; i++) {
      toNear.write(bytes);
      await turn();
    }
    expect(came).toBe(10_000);
    expect(toFar.readableLength + toFar.writableLength).toBeLessThan(1024);
    near.destroy();
  });

  it("pass over what comes for a stream that was closed", async () => {
    const { near, toNear } = pair((stream) => stream.pipe(stream));
    toNear.write(frame(1, 500, Buffer.from("late")));
    toNear.write(frame(2, 500, Buffer.alloc(0)));
    toNear.write(frame(3, 500, Buffer.alloc(0)));
    toNear.write(frame(4, 500, Buffer.from([0, 0, 1, 0])));
    const stream = near.open();
    stream.end("on");
    expect((await read(stream)).toString()).toBe("on");
  });
});
