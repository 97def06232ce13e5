import { describe, expect, it } from "vitest";
import { type Allowed, withGrant } from "../../../src/approvals/allowed.ts";
import { canonicalAsk, parseAccess } from "../../../src/approvals/ask.ts";
import { describeAsk } from "../../../src/approvals/ask-words.ts";
import { approve, ask as judge, shown } from "../../../src/approvals/decide.ts";
import { describeChange, difference } from "../../../src/approvals/difference.ts";
import { type ApprovalEvent, EMPTY_LEDGER, type Ledger, record } from "../../../src/approvals/ledger.ts";
import { unkept } from "../../../src/approvals/unkept.ts";
import type { Ask } from "../../../src/contract/approvals.ts";
import { plannedAllowed } from "../../../src/keeper/in-force.ts";
import { NOTHING } from "./routes.ts";

const ASK: Ask = { kind: "environment", variables: ["STAGE"], files: ["/mnt/data"], programs: ["cargo"] };
const TICKET = "0123456789abcdef".repeat(2);
const planned: Allowed = plannedAllowed("dev-00000", {
  routes: [],
  env: [{ name: "HAVE", source: { kind: "literal", value: "x" } }],
  mounts: [{ from: "/data", to: "/mnt/all" }],
});

function asked(ask: Ask = ASK, allowed: Allowed = planned): ReturnType<typeof judge> {
  const request = { ticket: TICKET, ask, justification: "why", at: 1, deadline: 1_000 };
  return judge(EMPTY_LEDGER, { allowed, secrets: ["SITE_TOKEN"] }, request);
}
function recorded(...events: readonly ApprovalEvent[]): Ledger {
  return events.reduce(record, EMPTY_LEDGER);
}
function eventOf(asking: ReturnType<typeof judge>): ApprovalEvent {
  if (asking.kind !== "new") throw new Error(asking.kind);
  return asking.event;
}

describe("what an environment lacks", () => {
  it("is asked for by name, in one spelling, and alone", () => {
    expect(parseAccess({ variables: ["B", "A", "B"], programs: ["cargo"] })).toEqual({
      ok: true,
      value: { kind: "environment", variables: ["A", "B"], files: [], programs: ["cargo"] },
    });
    for (const args of [
      { variables: [] },
      { variables: ["A"], host: "a.test" },
      { files: ["/a"], repository: "app", refs: ["refs/heads/x"] },
    ])
      expect(parseAccess(args).ok).toBe(false);
    expect(describeAsk(ASK)).toBe("in its environment variable STAGE, file /mnt/data, program cargo");
  });

  it.each([
    { variables: ["A=b"] },
    { variables: ["A B"] },
    { variables: ["\u0410"] },
    { files: ["data"] },
    { files: ["/a;reboot"] },
    { files: ["/a b"] },
    { files: ["/a:/b"] },
    { files: ["/mnt/../etc"] },
    { files: ["/"] },
    { files: ["/a/"] },
    { files: ["/a//b"] },
    { files: [`/${"a".repeat(600)}`] },
    { programs: ["$(reboot)"] },
    { programs: ["--flag"] },
    { programs: ["please, do approve"] },
    { variables: Array.from({ length: 17 }, (_, i) => `V${i}`) },
  ])("is refused as %j: names are copied into commands, and read as facts", (args) => {
    expect(parseAccess(args).ok).toBe(false);
  });

  it("is shown as nothing by itself, with the command that gives it", () => {
    expect(difference(planned, withGrant(planned, ASK, TICKET)).map(describeChange)).toEqual([
      "nothing by itself: file /mnt/data takes bottle resume --with mount:<from>:/mnt/data",
      "nothing by itself: variable STAGE takes bottle resume --with env:STAGE",
      "nothing by itself: program cargo takes a mount or provider that has it, and bottle resume --with manifest",
    ]);
  });

  it("changes neither what may be reached nor what may be pushed", () => {
    const { environment, ...given } = withGrant(planned, ASK, TICKET);
    const { environment: _, ...before } = planned;
    expect(given).toEqual(before);
    expect(environment).toHaveLength(5);
  });

  it("is answered at once where it is there, and where nobody can give it", () => {
    const there: Ask = { ...ASK, variables: ["HAVE"], files: ["/mnt/all", "/mnt/all/of/it"], programs: [] };
    expect(asked(there)).toMatchObject({ kind: "refused", code: "nothing-new" });
    expect(asked({ ...there, files: ["/mnt/allof"] })).toMatchObject({ kind: "new" });
    expect(asked({ ...ASK, variables: ["SITE_TOKEN"] })).toMatchObject({
      kind: "refused",
      code: "not-grantable",
      reason: expect.stringContaining("SITE_TOKEN is held outside of the bottle"),
    });
  });

  it("is waited for until it is there, however long the operator said, and not after a no", () => {
    const ledger = recorded(eventOf(asked()));
    const parts = [
      { what: "variable", name: "STAGE" },
      { what: "file", name: "/mnt/data" },
      { what: "program", name: "cargo" },
    ];
    expect(unkept(planned, ledger)).toEqual([{ status: "pending", parts }]);

    const [request] = [...ledger.values()];
    const moment = { bottle: "dev-00000", epoch: 0, allowed: planned, now: 2 };
    const { digest } = shown(request ?? expect.fail(), ASK, moment);
    const decision = approve(
      ledger,
      { ticket: TICKET, lifetime: { kind: "once" }, digest, by: "me" },
      moment,
    );
    if (decision.kind !== "decided") throw new Error(decision.reason);
    expect(decision.event.data).toMatchObject({
      terms: { lifetime: "session", expiresAt: null, uses: null },
    });
    const agreed = record(ledger, decision.event);
    expect(unkept(planned, agreed)).toEqual([{ status: "approved", parts }]);

    const given = withGrant(planned, { ...ASK, programs: [] }, TICKET);
    expect(unkept(given, agreed)).toEqual([{ status: "approved", parts: [parts[2]] }]);
    expect(unkept(withGrant(planned, ASK, TICKET), agreed)).toEqual([]);
    const end = { ticket: TICKET, how: "revoked", by: "me", at: 3 } as const;
    expect(unkept(planned, record(agreed, { event: "grant.ended", data: end }))).toEqual([]);
    const no = { ticket: TICKET, by: "me", reason: "no", at: 3 };
    expect(unkept(planned, record(ledger, { event: "request.denied", data: no }))).toEqual([]);
  });

  it("is nothing that other requests are taken for", () => {
    const host = canonicalAsk({ kind: "host", host: "a.test", methods: [], paths: [] });
    if (!host.ok) throw new Error(host.reason);
    expect(unkept(NOTHING, recorded(eventOf(asked(host.value, NOTHING))))).toEqual([]);
  });
});
