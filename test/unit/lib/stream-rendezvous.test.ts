import { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { createStreamRendezvous } from "../../../src/lib/stream-rendezvous.ts";

const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once("close", resolve));

describe("a stream", () => {
  it("is found by whoever waits for it, and by whoever comes after it", async () => {
    const streams = createStreamRendezvous(10_000);
    const [early, late] = [new Socket(), new Socket()];
    streams.give("a/0", early);
    const waiting = streams.take("a/1");
    streams.give("a/1", late);
    expect(await streams.take("a/0")).toBe(early);
    expect(await waiting).toBe(late);
  });

  it("is handed out once", async () => {
    const streams = createStreamRendezvous(20);
    streams.give("a/0", new Socket());
    await streams.take("a/0");
    await expect(streams.take("a/0")).rejects.toThrow("stream a/0 did not come");
  });

  it("is not waited for for ever, and then not handed to the one who gave up", async () => {
    const streams = createStreamRendezvous(20);
    await expect(streams.take("a/0")).rejects.toThrow("stream a/0 did not come");
    const socket = new Socket();
    streams.give("a/0", socket);
    expect(await streams.take("a/0")).toBe(socket);
  });

  it("is forgotten when it closes, and a newer one of its name is not", async () => {
    const streams = createStreamRendezvous(20);
    const [first, second] = [new Socket(), new Socket()];
    streams.give("a/0", first);
    streams.give("a/0", second);
    first.destroy();
    await closed(first);
    expect(await streams.take("a/0")).toBe(second);
    const gone = new Socket();
    streams.give("a/0", gone);
    gone.destroy();
    await closed(gone);
    await expect(streams.take("a/0")).rejects.toThrow("did not come");
  });
});
