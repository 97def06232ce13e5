import { describe, expect, it } from "vitest";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import { countUses } from "../../../src/keeper/grant-uses.ts";
import { testInbox } from "../../support/inbox.ts";

const plan = (freezeOnCanary: boolean): BottlePlan =>
  ({ supervise: { patienceMs: 60_000, freezeOnCanary } }) as BottlePlan;
const notice = (event: string, data: Record<string, unknown>) =>
  ({ kind: "message", message: { type: "event", event, data } }) as const;

const CANARIES = [
  ["on its way to a host", notice("egress.denied", { code: "canary-found" })],
  ["on its way to a repository", notice("git.refused", { findings: [{ kind: "canary" }] })],
] as const;
const OTHERS = [
  ["another denial", notice("egress.denied", { code: "secret-found" })],
  ["another secret in a push", notice("git.refused", { findings: [{ kind: "known" }] })],
  ["what only says so", notice("egress.allowed", { code: "canary-found", findings: [{ kind: "canary" }] })],
] as const;

describe("the decoy", () => {
  it.each(CANARIES)("%s freezes the bottle, where that is wanted", async (_what, told) => {
    const inbox = testInbox();
    await countUses(told, inbox, plan(true));
    expect(inbox.state.frozen).toBe(true);
    const other = testInbox();
    await countUses(told, other, plan(false));
    expect(other.state.frozen).toBe(false);
  });

  it.each(OTHERS)("is not taken for %s", async (_what, told) => {
    const inbox = testInbox();
    await countUses(told, inbox, plan(true));
    expect(inbox.state.frozen).toBe(false);
  });
});

describe("a use", () => {
  it("never gives back what was used, whatever a sidecar says", async () => {
    const inbox = testInbox();
    const ask = { kind: "repository", repo: "app", refs: ["refs/heads/main"], force: false, delete: false };
    await inbox.ask({ kind: "request", ask, justification: "" });
    const [waiting] = inbox.view().pending;
    const { ticket = "", digest = "" } = waiting ?? {};
    const lifetime = { kind: "once" } as const;
    await inbox.approve({ op: "approve", token: "", ticket, digest, by: "ann", lifetime });
    await countUses(notice("git.forwarding", { grants: [ticket] }), inbox, plan(false));
    await countUses(notice("egress.excepted", { grants: [ticket], count: -5 }), inbox, plan(false));
    expect(inbox.requests()).toMatchObject([{ grant: { status: "used-up", usesLeft: 0 } }]);
  });
});
