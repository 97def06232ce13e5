import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Ask } from "../../../src/contract/approvals.ts";
import type { Approve, Pending } from "../../../src/keeper/inbox-protocol.ts";
import { PLANNED, type TestInbox, testInbox } from "../../support/inbox.ts";

const ASK: Extract<Ask, { kind: "host" }> = {
  kind: "host",
  host: "new.example.test",
  methods: ["GET"],
  paths: [],
};

/** What supervise sends for an agent, and the ticket it comes to. */
async function ask(inbox: TestInbox, what: object = ASK): Promise<string> {
  const answer = await inbox.ask({ kind: "request", ask: what, justification: "I need it" });
  if (answer.kind !== "request") throw new Error(answer.reason);
  return answer.request.ticket;
}

function pending(inbox: TestInbox, ticket: string): Pending {
  const found = inbox.view().pending.find((each) => each.ticket === ticket);
  if (found === undefined) throw new Error("it does not wait");
  return found;
}

function yes(inbox: TestInbox, ticket: string, more: Partial<Approve> = {}): Approve {
  return { op: "approve", token: "", ticket, digest: pending(inbox, ticket).digest, by: "ann", ...more };
}

const hosts = (inbox: TestInbox) => inbox.state.allowed.routes.map(({ host }) => host);

describe("a request", () => {
  it("waits, on the log before anybody is told, with what it would newly allow", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    expect(inbox.steps).toEqual(["request.asked", "tell"]);
    expect(pending(inbox, ticket)).toMatchObject({
      kind: "request",
      ask: ASK,
      justification: "I need it",
      described: ["GET new.example.test, any path"],
    });
    expect(inbox.requests()).toMatchObject([{ ticket, status: "pending" }]);
    expect(hosts(inbox)).toEqual(["api.example.test"]);
  });

  it("is allowed by exactly what was shown: on the log, then in force, then told", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    await inbox.approve(yes(inbox, ticket));
    expect(inbox.steps.slice(2)).toEqual(["request.approved", "apply", "tell"]);
    expect(hosts(inbox)).toEqual(["api.example.test", "new.example.test"]);
    expect(inbox.view().pending).toEqual([]);
    expect(inbox.view().grants).toMatchObject([{ ticket, by: "ann", usesLeft: null }]);
  });

  it("I6: is not allowed by an answer to anything else", async () => {
    const inbox = testInbox();
    const [one, other] = [await ask(inbox), await ask(inbox, { ...ASK, host: "other.example.test" })];
    const wrong: readonly Partial<Approve>[] = [
      { digest: pending(inbox, other).digest },
      { digest: "0".repeat(64) },
      // Edited, and approved by what was shown before.
      { ask: { ...ASK, methods: [] } },
    ];
    for (const more of wrong)
      await expect(inbox.approve(yes(inbox, one, more))).rejects.toThrow("not what was shown");
    await expect(inbox.approve({ ...yes(inbox, one), ticket: "0".repeat(32) })).rejects.toThrow("no request");
    expect(inbox.steps).not.toContain("request.approved");
    // What the bottle may do has changed since it was shown.
    const stale = yes(inbox, one);
    await inbox.approve(yes(inbox, other));
    await expect(inbox.approve(stale)).rejects.toThrow("not what was shown");
    expect(hosts(inbox)).toEqual(["api.example.test", "other.example.test"]);
  });

  it("is allowed as it was edited, by what the edit was shown to allow", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    const narrower = { ...ASK, paths: [{ type: "exact" as const, value: "/only" }] };
    const preview = inbox.preview(ticket, narrower);
    expect(preview.described).toEqual(["GET new.example.test/only"]);
    await inbox.approve(yes(inbox, ticket, { ask: preview.ask, digest: preview.digest }));
    expect(inbox.view().grants).toMatchObject([{ ask: narrower }]);
  });

  it("is refused with the operator's words", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    await inbox.deny({ op: "deny", token: "", ticket, by: "ann", reason: "not today" });
    expect(inbox.requests()).toMatchObject([{ ticket, status: "denied", reason: "not today" }]);
    expect(inbox.steps).not.toContain("apply");
  });

  it("ends at its deadline with no, and an answer that comes then is too late", async () => {
    const inbox = testInbox({ patienceMs: 40 });
    const ticket = await ask(inbox);
    const late = yes(inbox, ticket);
    await pause(120);
    expect(inbox.requests()).toMatchObject([{ ticket, status: "expired" }]);
    await expect(inbox.approve(late)).rejects.toThrow();
    expect(hosts(inbox)).toEqual(["api.example.test"]);
  });

  it("is decided once, whoever else answers at the same moment", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    const answer = yes(inbox, ticket);
    const told = await Promise.allSettled([
      inbox.approve(answer),
      inbox.approve(answer),
      inbox.deny({ op: "deny", token: "", ticket, by: "bob", reason: "no" }),
    ]);
    expect(told.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    // regression: the answer that came too late took back what the first one had given.
    expect(hosts(inbox)).toEqual(["api.example.test", "new.example.test"]);
    expect(inbox.logged.filter(({ event }) => /approved|denied/.test(event))).toHaveLength(1);
  });

  it.each([
    ["no object", 7],
    ["another kind", { kind: "approve", ticket: "0".repeat(32) }],
    ["more than there is", { kind: "request", ask: { ...ASK, approved: true }, justification: "" }],
    ["a host that is none", { kind: "request", ask: { ...ASK, host: "a b" }, justification: "" }],
    ["an address of the host's", { kind: "request", ask: { ...ASK, host: "127.0.0.1" }, justification: "" }],
  ])("of %s is refused, and leaves nothing", async (_what, data) => {
    const inbox = testInbox();
    expect(await inbox.ask(data)).toMatchObject({ kind: "refused" });
    expect(inbox.steps).toEqual([]);
  });
});

describe("a grant", () => {
  it("for once is used once, and what asks to use it waits until that is on the log", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    await inbox.approve(yes(inbox, ticket, { lifetime: { kind: "once" } }));
    await inbox.used({ ticket, uses: 1, bytes: 0 });
    expect(inbox.steps.slice(-2)).toEqual(["grant.used", "tell"]);
    // The use has begun, and may last: it is what sidecars still know of, and can be taken back.
    expect(inbox.state.live.routes.map(({ host }) => host)).toContain("new.example.test");
    expect(hosts(inbox)).toEqual(["api.example.test"]);
    expect(inbox.requests()).toMatchObject([{ grant: { status: "used-up" } }]);
    await inbox.revoke({ op: "revoke", token: "", ticket, by: "ann" });
    expect(inbox.steps.slice(-3)).toEqual(["grant.ended", "apply", "tell"]);
    expect(inbox.state.live.routes).toHaveLength(1);
  });

  it("ends with its time", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    await inbox.approve(yes(inbox, ticket, { lifetime: { kind: "for", milliseconds: 40 } }));
    expect(hosts(inbox)).toHaveLength(2);
    await pause(120);
    expect(inbox.steps.slice(-3)).toEqual(["grant.ended", "apply", "tell"]);
    expect(hosts(inbox)).toHaveLength(1);
  });

  it("is taken back", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    await inbox.approve(yes(inbox, ticket, { lifetime: { kind: "session" } }));
    await inbox.revoke({ op: "revoke", token: "", ticket, by: "ann", reason: "enough" });
    expect(inbox.steps.slice(-3)).toEqual(["grant.ended", "apply", "tell"]);
    expect(hosts(inbox)).toEqual(["api.example.test"]);
    await expect(inbox.revoke({ op: "revoke", token: "", ticket, by: "ann" })).rejects.toThrow("no grant");
  });

  it("that a sidecar will not have is not in force, and the log says so", async () => {
    let broken = true;
    const inbox = testInbox({
      apply: async () => {
        if (broken) throw new Error("egress refused it");
      },
    });
    const ticket = await ask(inbox);
    await expect(inbox.approve(yes(inbox, ticket))).rejects.toThrow("egress refused it");
    expect(inbox.logged.at(-1)).toMatchObject({
      event: "grant.ended",
      data: { how: "revoked", by: "keeper" },
    });
    expect(hosts(inbox)).toEqual(["api.example.test"]);
    broken = false;
  });

  it("I8: is over once that can be recorded, where there was no room to when its time came", async () => {
    let isFull = false;
    const tried: string[] = [];
    const append = async (event: string): Promise<never> => {
      tried.push(event);
      if (isFull) throw new Error("no room");
      return undefined as never;
    };
    const inbox = testInbox({ log: { append, happened: append }, patienceMs: 20 });
    await ask(inbox);
    isFull = true;
    while (!tried.includes("request.expired")) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(inbox.state.ledger.values().next().value?.outcome.status).toBe("pending");
    isFull = false;
    inbox.changed("bottle.has-room", {});
    while (inbox.state.ledger.values().next().value?.outcome.status !== "expired")
      await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("I8: is none when the log cannot be written", async () => {
    const inbox = testInbox();
    const ticket = await ask(inbox);
    const answer = yes(inbox, ticket);
    const applied: string[] = [];
    const append = (): Promise<never> => Promise.reject(new Error("disk full"));
    const other = testInbox({
      ledger: inbox.state.ledger,
      log: { append, happened: append },
      apply: async () => void applied.push("apply"),
    });
    await expect(other.approve(answer)).rejects.toThrow("disk full");
    expect(applied).toEqual([]);
    expect(hosts(other)).toEqual(["api.example.test"]);
    expect(other.view().pending).toHaveLength(1);
  });

  it("I9: is what the log says, for a keeper that comes after one that was killed", async () => {
    const inbox = testInbox();
    const tickets = [];
    for (const host of ["a", "b", "c", "d"])
      tickets.push(await ask(inbox, { ...ASK, host: `${host}.example.test` }));
    const [granted = "", revoked = "", denied = "", waiting = ""] = tickets;
    await inbox.approve(yes(inbox, granted, { lifetime: { kind: "session" } }));
    await inbox.approve(yes(inbox, revoked));
    await inbox.revoke({ op: "revoke", token: "", ticket: revoked, by: "ann" });
    await inbox.deny({ op: "deny", token: "", ticket: denied, by: "ann", reason: "no" });
    const again = inbox.again();
    expect(hosts(again)).toEqual(["api.example.test", "a.example.test"]);
    expect(again.view().pending.map(({ ticket }) => ticket)).toEqual([waiting]);
    expect(again.requests()).toEqual(inbox.requests());
  });
});

describe("a push that waits", () => {
  const REVIEW = {
    kind: "git-push",
    repo: "app",
    updates: [{ ref: "refs/heads/main", old: "0".repeat(40), new: "1".repeat(40) }],
    commits: [{ id: "1".repeat(40), author: "agent", subject: "work" }],
    commitCount: 1,
    files: ["A file"],
    fileCount: 1,
  };

  it.each([
    ["approve", "approved", "fine"],
    ["deny", "refused", "not like this"],
  ] as const)("is answered as the operator says: %s", async (op, event, reason) => {
    const inbox = testInbox();
    const answering = inbox.review(REVIEW);
    await pause(10);
    const [waiting] = inbox.view().pending;
    if (waiting === undefined) throw new Error("it does not wait");
    const { ticket } = waiting;
    if (op === "approve") await inbox.approve(yes(inbox, ticket, { reason }));
    else await inbox.deny({ op, token: "", ticket, by: "ann", reason });
    expect(await answering).toEqual({ decision: op === "deny" ? "refuse" : "approve", note: reason });
    expect(inbox.logged.map((each) => each.event)).toEqual(["review.asked", `review.${event}`]);
  });

  it("is not forwarded on an answer to another push, nor when nobody answers or the bottle ends", async () => {
    const inbox = testInbox({ patienceMs: 60 });
    const answering = inbox.review(REVIEW);
    await pause(10);
    const [waiting] = inbox.view().pending;
    const wrong = { ...yes(inbox, waiting?.ticket ?? ""), digest: "0".repeat(64) };
    await expect(inbox.approve(wrong)).rejects.toThrow("another push");
    expect(await answering).toMatchObject({ decision: "refuse" });
    const patient = testInbox();
    const second = patient.review(REVIEW);
    await pause(10);
    patient.close();
    expect(await second).toMatchObject({ decision: "refuse" });
  });
});

describe("a freeze", () => {
  it("is put in force at once, and lasts until it is undone, also for a keeper that comes after", async () => {
    const inbox = testInbox();
    await inbox.freeze("ann", "what is it doing?");
    await inbox.freeze("ann");
    expect(inbox.steps).toEqual(["bottle.frozen", "apply", "tell"]);
    expect(inbox.again().state.frozen).toBe(true);
    await inbox.thaw("ann");
    expect(inbox.state.frozen).toBe(false);
    expect(inbox.state.allowed).toEqual(PLANNED);
  });
});
