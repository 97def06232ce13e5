/** A finding for which the operator is asked, and what an answer changes. */
import { describe, expect, it } from "vitest";
import type { EgressPolicy, FromSidecar } from "../../../../src/contract/sidecar.ts";
import {
  ask,
  CANARY,
  HOST,
  type InspectedSite,
  inspectedSites,
  KNOWN,
  leaksIn,
  OTHER,
  PATTERN,
  told,
} from "../../../support/inspected-site.ts";
import { checksummed } from "../../../support/secret-examples/checksummed.ts";

const { serve } = inspectedSites();

const ANOTHER = checksummed("ghs_", 30);
const TICKET = "TICKET-482913";
const RULE = { id: "ticket", pattern: "TICKET-[0-9]{6}" };

type Question = Extract<FromSidecar, { type: "ask" }>;
const questionsOf = ({ egress }: InspectedSite): Question[] =>
  egress.messages.flatMap((message) => (message.type === "ask" ? [message] : []));

function argumentsOf(denied: { readonly ask: { readonly arguments: object } } | undefined) {
  return denied?.ask.arguments as { host: string; detector: string; finding: string };
}

async function excepting(site: InspectedSite, exceptions: EgressPolicy["exceptions"]): Promise<void> {
  await site.egress.reload({ ...site.policy, exceptions });
}

describe("where a route asks", () => {
  it("a request is refused, and the operator asked once for just that value and host, by its mark", async () => {
    const site = await serve({ inspection: { onMatch: "ask" } });
    const first = await ask(site, { body: PATTERN });
    const again = await ask(site, { method: "GET", path: `/x?note=${PATTERN}` });
    const elsewhere = await ask(site, { host: OTHER, body: PATTERN });
    for (const answer of [first, again, elsewhere])
      expect(answer.denied).toMatchObject({ code: "secret-found", ask: { tool: "request_exception" } });
    expect(questionsOf(site)).toMatchObject(
      [first, elsewhere].map(({ denied }) => ({
        data: { kind: "request", ask: { kind: "finding", ...argumentsOf(denied) } },
      })),
    );
    const [{ ask: question } = { ask: "" }] = questionsOf(site);
    expect([site.egress.answer(question), site.egress.answer("nobody's")]).toEqual([true, false]);
    expect(site.wire()).toHaveLength(0);
    expect(leaksIn(told(site))).toEqual([]);
  });

  it("nobody is asked for what is known to be secret, and for nothing where the route only blocks", async () => {
    const asking = await serve({ inspection: { onMatch: "ask" } });
    for (const body of [KNOWN, CANARY]) expect((await ask(asking, { body })).denied).toBeDefined();
    const blocking = await serve();
    expect((await ask(blocking, { body: PATTERN })).denied?.code).toBe("secret-found");
    for (const site of [asking, blocking]) expect(questionsOf(site)).toEqual([]);
  });

  it("nobody is asked about a host whose name is the secret", async () => {
    const site = await serve({ inspection: { onMatch: "ask" } });
    const { denied } = await ask(site, {
      method: "GET",
      host: `${Buffer.from(PATTERN).toString("hex").slice(0, 60)}.${Buffer.from(PATTERN).toString("hex").slice(60)}.wild.test`,
    });
    expect(denied?.code).toBe("secret-found");
    expect(questionsOf(site)).toEqual([]);
  });
});

describe("an exception", () => {
  it.each([
    ["a kind of secret", PATTERN],
    ["a rule of the operator's own", TICKET],
  ])(
    "lets that one value of %s go to that host, for as many requests as were given",
    async (_what, value) => {
      const site = await serve({ policy: { rules: [RULE] } });
      const { host, detector, finding } = argumentsOf((await ask(site, { body: value })).denied);
      expect(host).toBe(HOST);
      await excepting(site, [{ host, detector, finding, grant: { id: "g1", uses: { most: 2, before: 0 } } }]);
      expect((await ask(site, { body: `${value} and ${value}` })).status).toBe(200);
      expect((await ask(site, { method: "GET", path: `/x?note=${value}` })).status).toBe(200);
      expect((await ask(site, { body: value })).denied?.code).toBe("secret-found");
      expect(site.arrived).toHaveLength(2);
      expect(site.egress.events("egress.excepted")).toMatchObject([
        { host, detector, finding, grant: "g1" },
        { host, detector, finding, grant: "g1" },
      ]);
    },
  );

  it("is for nothing beside it, for no other host, and over with the policy that has it", async () => {
    const site = await serve();
    const { host, detector, finding } = argumentsOf((await ask(site, { body: PATTERN })).denied);
    await excepting(site, [{ host, detector, finding }]);
    expect((await ask(site, { body: PATTERN })).status).toBe(200);
    for (const request of [
      { body: ANOTHER },
      { body: `${PATTERN} ${ANOTHER}` },
      { body: `${PATTERN} ${KNOWN}` },
      { host: OTHER, body: PATTERN },
    ])
      expect((await ask(site, request)).denied?.code).toBe("secret-found");
    await excepting(site, []);
    expect((await ask(site, { body: PATTERN })).denied?.code).toBe("secret-found");
    expect(site.arrived).toHaveLength(1);
  });

  it("is none for what is known to be secret, whoever gives it", async () => {
    const site = await serve();
    for (const [body, code] of [
      [KNOWN, "secret-found"],
      [CANARY, "canary-found"],
    ] as const) {
      const { host, detector, finding } = argumentsOf((await ask(site, { body })).denied);
      await excepting(site, [{ host, detector, finding }]);
      expect((await ask(site, { body })).denied?.code).toBe(code);
    }
    expect(site.wire()).toHaveLength(0);
  });
});
