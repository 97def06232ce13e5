/** What leaves a little at a time is told, and nothing is refused for it. */
import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  ask,
  BOUND,
  HOST,
  inspectedSites,
  leaksIn,
  OTHER,
  PATTERN,
  SECRETS,
  told,
} from "../../../support/inspected-site.ts";

const { serve } = inspectedSites();

const pieces = (value: string): readonly string[] => value.match(/.{1,11}/g) ?? [];

describe("a secret in pieces over many requests", () => {
  it.each(SECRETS)(
    "is told when it is a $kind: in queries, and in bodies of its own",
    async ({ value, detector }) => {
      const site = await serve();
      for (const piece of pieces(value)) {
        expect((await ask(site, { method: "GET", path: `/log?part=${piece}` })).status).toBe(200);
      }
      const queries = await site.egress.waitFor("egress.pieced");
      expect(queries[0]).toMatchObject({ target: `GET https://${HOST}/log`, detector });
      for (const piece of pieces(value))
        expect((await ask(site, { host: OTHER, body: piece })).status).toBe(200);
      const before = queries.length;
      expect((await site.egress.waitFor("egress.pieced", before + 1)).at(-1)).toMatchObject({
        target: `POST https://${OTHER}/`,
        detector,
      });
      expect(site.egress.events("egress.denied")).toEqual([]);
      expect(leaksIn(told(site))).toEqual([]);
    },
  );

  it("is told once it is there: not for a first piece, not for others, not over two hosts", async () => {
    const site = await serve();
    const [one = "", two = "", three = "", four = ""] = pieces(PATTERN);
    await ask(site, { method: "GET", path: `/log?part=${one}` });
    await ask(site, { method: "GET", path: `/log?part=${two}` });
    await ask(site, { method: "GET", host: OTHER, path: `/log?part=${three}` });
    await ask(site, { method: "GET", host: OTHER, path: `/log?part=${four}` });
    await ask(site, { method: "GET", path: "/log" });
    expect(site.egress.events("egress.pieced")).toEqual([]);
    await ask(site, { method: "GET", path: `/log?part=${three}` });
    await ask(site, { method: "GET", path: `/log?part=${four}` });
    expect(site.egress.events("egress.pieced")).toHaveLength(1);
    await ask(site, { method: "GET", path: "/log?part=something" });
    expect(site.egress.events("egress.pieced")).toHaveLength(1);
  });

  it("is no news when it may go there, nor where the route does not want to know", async () => {
    const site = await serve();
    for (const piece of pieces(BOUND)) await ask(site, { method: "GET", path: `/log?part=${piece}` });
    expect(site.egress.events("egress.pieced")).toEqual([]);
    const silent = await serve({ inspection: { budget: false } });
    for (const piece of pieces(PATTERN)) await ask(silent, { method: "GET", path: `/log?part=${piece}` });
    expect(silent.egress.events("egress.pieced")).toEqual([]);
  });
});

describe("a budget", () => {
  it("of randomness is for queries, and told once", async () => {
    const site = await serve();
    for (let i = 0; i < 12; i++) {
      // The same each time: one in some thousands such texts has a token's look by chance.
      const part = createHash("shake256", { outputLength: 7_000 }).update(`part ${i}`).digest("base64url");
      expect((await ask(site, { method: "GET", path: `/log?part=${part}` })).status).toBe(200);
    }
    const events = await site.egress.waitFor("egress.budget");
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ target: `GET ${HOST}`, kind: "entropy" });
  });

  it("of randomness is not used up by bodies, which are pictures and archives", async () => {
    const site = await serve();
    for (let i = 0; i < 4; i++) expect((await ask(site, { body: randomBytes(400_000) })).status).toBe(200);
    await site.egress.waitFor("egress.allowed", 4);
    expect(site.egress.events("egress.budget")).toEqual([]);
  });

  it("of bytes is for all that leaves, and told once", async () => {
    const site = await serve({ inspection: { patterns: false } });
    const body = Buffer.alloc(23 * 1024 * 1024, '{"id": 4711, "text": "what it says", "ok": true},\n');
    for (let i = 0; i < 4; i++) expect((await ask(site, { body })).status).toBe(200);
    await site.egress.waitFor("egress.allowed", 4);
    const events = site.egress.events("egress.budget");
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ target: `POST ${HOST}`, kind: "bytes" });
  });
});
