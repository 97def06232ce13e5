import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Allowed, withGrant } from "../../../src/approvals/allowed.ts";
import {
  type Approval,
  approve,
  ask,
  deny,
  due,
  type Lifetime,
  MAX_PENDING,
  type Moment,
  nextDue,
  revoke,
  shown,
  USUAL_GRANT_MS,
  use,
  withdraw,
} from "../../../src/approvals/decide.ts";
import { describeChange, difference } from "../../../src/approvals/difference.ts";
import {
  type ApprovalEvent,
  allowedNow,
  approvalEvent,
  capabilitiesOf,
  EMPTY_LEDGER,
  isActive,
  type Ledger,
  liveNow,
  record,
  replay,
  viewOf,
} from "../../../src/approvals/ledger.ts";
import { boundedData } from "../../../src/audit/bounded-data.ts";
import {
  ASK_LIMITS,
  type Ask,
  capabilitiesSchema,
  requestViewSchema,
  superviseAskSchema,
} from "../../../src/contract/approvals.ts";
import { routes, token } from "./routes.ts";

const PLANNED: Allowed = {
  ...routes({ host: "known.test", ...token("GITHUB_TOKEN") }),
  repos: [
    {
      name: "app",
      upstream: "/app.git",
      refs: [{ pattern: "refs/heads/bottle/*", force: false, delete: false }],
    },
  ],
};
const HOST: Ask = { kind: "host", host: "api.x.test", methods: ["GET"], paths: [] };
const HOUR = 3_600_000;

const ticketOf = (n: number): string => n.toString(16).padStart(32, "0");

/** A keeper's part: everything that happens is written, and the state is made of what was written. */
function keeper(planned: Allowed = PLANNED) {
  let ledger: Ledger = EMPTY_LEDGER;
  let tickets = 0;
  const log: ApprovalEvent[] = [];
  const write = (event: ApprovalEvent): void => {
    log.push(event);
    ledger = record(ledger, event);
  };
  const moment = (now: number): Moment => ({
    bottle: "b-1",
    epoch: log.length,
    allowed: allowedNow(planned, ledger, now),
    now,
  });
  const decide = (decision: ReturnType<typeof approve>): string => {
    if (decision.kind === "refused") return decision.code;
    write(decision.event);
    return "decided";
  };
  return {
    log,
    ledger: () => ledger,
    allowed: (now: number) => moment(now).allowed,
    moment,
    ask(wanted: Ask, now: number, justification = "") {
      const policy = { allowed: moment(now).allowed, secrets: ["NPM_TOKEN"] };
      const answer = ask(ledger, policy, {
        ticket: ticketOf(++tickets),
        ask: wanted,
        justification,
        at: now,
        deadline: now + HOUR,
      });
      if (answer.kind === "new") write(answer.event);
      return answer;
    },
    approve(ticket: string, now: number, more: Partial<Approval> = {}) {
      const request = ledger.get(ticket);
      const digest = request && shown(request, more.ask ?? request.ask, moment(now)).digest;
      const lifetime: Lifetime = { kind: "for", milliseconds: USUAL_GRANT_MS };
      return decide(
        approve(ledger, { ticket, lifetime, digest: digest ?? "", by: "me", ...more }, moment(now)),
      );
    },
    deny: (ticket: string, now: number, reason = "no need") =>
      decide(deny(ledger, { ticket, by: "me", reason }, now)),
    withdraw: (ticket: string, now: number) => decide(withdraw(ledger, ticket, now)),
    revoke: (ticket: string, now: number, reason = "enough") =>
      decide(revoke(ledger, { ticket, by: "me", reason }, now)),
    use(ticket: string, now: number, uses = 1, bytes = 0) {
      const events = use(ledger, { ticket, uses, bytes }, now);
      for (const event of events) write(event);
      return events.map(({ event }) => event);
    },
    tick(now: number) {
      const events = due(ledger, now);
      for (const event of events) write(event);
      return events.map(({ event, data }) => [event, data.ticket]);
    },
  };
}

const T1 = ticketOf(1);

describe("what is shown", () => {
  it("regression: has what another grant gives until it ends (I6): with something new beside it, that was given for longer unseen", () => {
    const k = keeper();
    const paths = (...values: readonly string[]) =>
      values.map((value) => ({ type: "exact" as const, value }));
    k.ask({ ...HOST, paths: paths("/grave") }, 0);
    k.approve(T1, 1, { lifetime: { kind: "once" } });
    k.ask({ ...HOST, paths: paths("/grave", "/harmless") }, 2);
    const request = k.ledger().get(ticketOf(2)) ?? expect.fail();
    expect(shown(request, request.ask, k.moment(3)).changes.map(describeChange)).toEqual([
      "GET api.x.test/grave",
      "GET api.x.test/harmless",
    ]);
  });

  it("regression: has a ref and an exception so, too", () => {
    const k = keeper();
    const ref = (...refs: string[]): Ask => ({
      kind: "repository",
      repo: "app",
      refs,
      force: true,
      delete: false,
    });
    const lifted = (...subjects: string[]): Ask => ({
      ...{ kind: "git-exception", repo: "app", code: "path-protected", subjects },
    });
    const asks = [
      [ref("refs/heads/main"), ref("refs/heads/main", "refs/heads/x"), "refs/heads/main"],
      [lifted(".github/a"), lifted(".github/a", ".github/b"), ".github/a"],
    ] as const;
    asks.forEach(([first, second, grave], i) => {
      k.ask(first, 0);
      k.approve(ticketOf(2 * i + 1), 1);
      k.ask(second, 2);
      const request = k.ledger().get(ticketOf(2 * i + 2)) ?? expect.fail();
      expect(shown(request, second, k.moment(3)).changes.map(describeChange).join("\n")).toContain(grave);
    });
  });
});

describe("asking", () => {
  it("joins what is pending already, under the same ticket", () => {
    const k = keeper();
    k.ask(HOST, 0);
    expect(k.ask({ ...HOST, methods: ["get"] as string[] }, 1)).toMatchObject({
      kind: "joined",
      request: { ticket: T1 },
    });
    expect(k.log.length).toBe(1);
  });

  it("of what was denied a moment ago gets the same answer, and later a new one", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.deny(T1, 10);
    expect(k.ask(HOST, 11)).toMatchObject({ kind: "joined", request: { outcome: { reason: "no need" } } });
    expect(k.ask(HOST, 10 + 10 * 60_000).kind).toBe("new");
  });

  it("for what is allowed already is answered at once", () => {
    const k = keeper();
    expect(k.ask({ ...HOST, host: "known.test" }, 0)).toMatchObject({ kind: "refused", code: "nothing-new" });
    k.ask(HOST, 0);
    k.approve(ticketOf(2), 1);
    expect(k.ask(HOST, 2)).toMatchObject({ kind: "refused", code: "nothing-new" });
  });

  it.each<[string, Ask]>([
    [
      "a repository that is not there",
      { kind: "repository", repo: "no", refs: ["refs/heads/a"], force: false, delete: false },
    ],
    [
      "a known secret to pass egress",
      { kind: "finding", host: "a.test", detector: "NPM_TOKEN", finding: "1" },
    ],
    [
      "a known secret to pass git-gate",
      { kind: "git-exception", repo: "app", code: "secret-found", subjects: ["aws:1", "NPM_TOKEN:2"] },
    ],
    ["an address", { ...HOST, host: "10.0.0.1" } as Ask],
  ])("for %s is refused at once", (_, wanted) => {
    expect(keeper().ask(wanted, 0)).toMatchObject({ kind: "refused", code: "not-grantable" });
  });

  it(`is refused while ${MAX_PENDING} wait`, () => {
    const k = keeper();
    for (let i = 0; i < MAX_PENDING; i++)
      expect(k.ask({ ...HOST, host: `h${i}.x.test` }, 0).kind).toBe("new");
    expect(k.ask(HOST, 0)).toMatchObject({ kind: "refused", code: "too-many-pending" });
    k.withdraw(T1, 1);
    expect(k.ask(HOST, 2).kind).toBe("new");
  });

  it("keeps no word of the agent's that could act on a terminal, and not many", () => {
    const k = keeper();
    k.ask(HOST, 0, `\u001b]0;owned\u0007 line\none\u202e${"x".repeat(1_000_000)}`);
    const said = k.ledger().get(T1)?.justification ?? "";
    expect(said).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(said).toContain("\\u{1b}]0;owned\\u{7} line one\\u{202e}");
    expect(said.length).toBeLessThanOrEqual(ASK_LIMITS.justification);
  });
});

describe("approving", () => {
  it("gives what was asked, for an hour, and no longer", () => {
    const k = keeper();
    k.ask(HOST, 0);
    expect(k.approve(T1, 5)).toBe("decided");
    expect(difference(PLANNED, k.allowed(6)).map(describeChange)).toEqual(["GET api.x.test, any path"]);
    expect(nextDue(k.ledger())).toBe(5 + HOUR);
    expect(difference(PLANNED, k.allowed(5 + HOUR))).toEqual([]);
    expect(k.tick(5 + HOUR)).toEqual([["grant.ended", T1]]);
    expect(viewOf(k.ledger().get(T1) ?? raise()).grant?.status).toBe("expired");
  });

  it("is bound to what was shown: a forged or an old digest is refused", () => {
    const k = keeper();
    k.ask(HOST, 0);
    const request = k.ledger().get(T1) ?? raise();
    const { digest } = shown(request, HOST, k.moment(1));
    expect(k.approve(T1, 1, { digest: "0".repeat(64) })).toBe("stale");
    expect(k.approve(T1, 1, { digest, ask: { ...HOST, methods: [] } })).toBe("stale");
    k.ask({ ...HOST, host: "other.test" }, 2);
    k.approve(ticketOf(2), 3);
    expect(k.approve(T1, 4, { digest })).toBe("stale");
    expect(k.approve(T1, 5)).toBe("decided");
  });

  it("is bound to its own bottle and its own ticket", () => {
    const k = keeper();
    k.ask(HOST, 0);
    const request = k.ledger().get(T1) ?? raise();
    const elsewhere = shown(request, HOST, { ...k.moment(1), bottle: "b-2" }).digest;
    const another = shown({ ...request, ticket: ticketOf(9) }, HOST, k.moment(1)).digest;
    expect(k.approve(T1, 1, { digest: elsewhere })).toBe("stale");
    expect(k.approve(T1, 1, { digest: another })).toBe("stale");
    expect(k.approve(ticketOf(9), 1)).toBe("no-such-request");
  });

  it("gives what the operator made of it", () => {
    const k = keeper();
    k.ask({ ...HOST, methods: [] }, 0);
    expect(k.approve(T1, 1, { ask: { ...HOST, methods: ["GET", "HEAD"] } })).toBe("decided");
    expect(difference(PLANNED, k.allowed(2)).map(describeChange)).toEqual(["GET, HEAD api.x.test, any path"]);
    expect(k.ledger().get(T1)?.ask).toEqual({ ...HOST, methods: [] });
  });

  it("is too late at the deadline, whoever is first", () => {
    const k = keeper();
    k.ask(HOST, 0);
    expect(k.approve(T1, HOUR)).toBe("deadline-passed");
    expect(k.tick(HOUR)).toEqual([["request.expired", T1]]);
    expect(k.approve(T1, HOUR)).toBe("not-pending");
    expect(difference(PLANNED, k.allowed(HOUR))).toEqual([]);
  });

  it("once is one use", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.approve(T1, 1, { lifetime: { kind: "once" } });
    expect(k.use(T1, 2)).toEqual(["grant.used"]);
    expect(k.use(T1, 3)).toEqual([]);
    expect(difference(PLANNED, k.allowed(3))).toEqual([]);
  });

  it("with a number of bytes ends with them", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.approve(T1, 1, { bytes: 100 });
    expect(k.use(T1, 2, 1, 60)).toEqual(["grant.used"]);
    expect(k.use(T1, 3, 1, 60)).toEqual(["grant.used", "grant.ended"]);
  });

  it.each<Lifetime>([{ kind: "session" }, { kind: "always" }])(
    "for %j lasts as long as the bottle",
    (lifetime) => {
      const k = keeper();
      k.ask(HOST, 0);
      k.approve(T1, 1, { lifetime });
      expect(k.tick(Number.MAX_SAFE_INTEGER)).toEqual([]);
      expect(k.revoke(T1, 2)).toBe("decided");
      expect(k.revoke(T1, 3)).toBe("not-active");
      expect(difference(PLANNED, k.allowed(3))).toEqual([]);
    },
  );
});

describe("the log", () => {
  it("is the state: killed after any line, a keeper comes back to what was decided", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.ask({ ...HOST, host: "b.test" }, 1);
    k.approve(T1, 2, { lifetime: { kind: "once" } });
    k.use(T1, 3);
    k.deny(ticketOf(2), 4);
    let ledger = EMPTY_LEDGER;
    for (const [i, event] of k.log.entries()) {
      ledger = record(ledger, event);
      const read = k.log.slice(0, i + 1).map(({ event, data }) => {
        const written = JSON.parse(JSON.stringify({ event, data })) as { event: string; data: unknown };
        return approvalEvent(written.event, written.data) ?? raise();
      });
      expect(replay(read)).toEqual(ledger);
    }
    // Its one use has begun: nothing more may begin, and what has may go on until its time.
    const cut = replay(k.log.slice(0, 4));
    expect(difference(PLANNED, allowedNow(PLANNED, cut, 3))).toEqual([]);
    expect(difference(PLANNED, liveNow(PLANNED, cut, 3))).not.toEqual([]);
    expect(due(cut, 3)).toEqual([]);
    expect(due(cut, 3 + 60 * 60_000)).toMatchObject([
      { event: "grant.ended", data: { how: "expired" } },
      { event: "request.expired" },
    ]);
  });

  it("has other lines too, and none that is not whole counts", () => {
    expect(approvalEvent("egress.allowed", {})).toBeUndefined();
    expect(approvalEvent("__proto__", {})).toBeUndefined();
    expect(approvalEvent("request.denied", { ticket: T1 })).toBeUndefined();
  });

  it("gives nothing in any order of its lines that no decision gave", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.ask({ ...HOST, host: "b.test" }, 1);
    k.approve(T1, 2);
    k.deny(ticketOf(2), 3);
    k.revoke(T1, 4);
    fc.assert(
      fc.property(fc.shuffledSubarray(k.log), (lines) => {
        const ledger = replay(lines);
        const ends = lines.findIndex(({ event }) => event === "grant.ended");
        for (const request of ledger.values()) {
          if (!isActive(request)) continue;
          expect(request.ticket).toBe(T1);
          expect(ends === -1 || ends < lines.findIndex(({ event }) => event === "request.approved")).toBe(
            true,
          );
        }
      }),
    );
  });

  it("may be of any length: what is settled is forgotten after a while, what is in force never", () => {
    const k = keeper();
    k.ask(HOST, 0);
    k.approve(T1, 1, { lifetime: { kind: "session" } });
    for (let i = 2; i < 1_000; i++) {
      k.ask({ ...HOST, host: `h${i}.test` }, i);
      k.withdraw(ticketOf(i), i);
    }
    expect(k.ledger().size).toBeLessThan(210);
    expect(k.ledger().has(T1)).toBe(true);
    expect(replay(k.log)).toEqual(k.ledger());
  });
});

describe("any sequence of questions and decisions", () => {
  it("leaves in force only what was approved, within its bounds, and replays to the same", () => {
    const step = fc.tuple(
      fc.constantFrom("ask", "approve", "once", "deny", "withdraw", "revoke", "use", "tick"),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: HOUR }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const k = keeper();
        const approved = new Map<string, { until: number; uses: number }>();
        let now = 0;
        for (const [what, n, later] of steps) {
          now += later;
          const ticket = ticketOf(n);
          if (what === "ask") k.ask({ ...HOST, host: `h${n}.test` }, now);
          if (what === "deny") k.deny(ticket, now);
          if (what === "withdraw") k.withdraw(ticket, now);
          if (what === "revoke" && k.revoke(ticket, now) === "decided") approved.delete(ticket);
          if (what === "tick") k.tick(now);
          if (what === "approve" && k.approve(ticket, now) === "decided") {
            approved.set(ticket, { until: now + HOUR, uses: Number.POSITIVE_INFINITY });
          }
          if (what === "once" && k.approve(ticket, now, { lifetime: { kind: "once" } }) === "decided") {
            approved.set(ticket, { until: now + HOUR, uses: 1 });
          }
          const grant = approved.get(ticket);
          if (what === "use" && k.use(ticket, now).length > 0 && grant !== undefined) grant.uses -= 1;
          const inForce = [...approved]
            .filter(([, { until, uses }]) => now < until && uses > 0)
            .map(([name]) => name);
          const given = k.allowed(now).routes.flatMap(({ grant: name }) => name ?? []);
          expect(given.sort()).toEqual(inForce.sort());
        }
        expect(replay(k.log)).toEqual(k.ledger());
        for (const request of k.ledger().values()) requestViewSchema.parse(viewOf(request));
      }),
      { numRuns: 300 },
    );
  });
});

describe("the largest request", () => {
  it("fits into one line of the log uncut, and so does its approval", () => {
    const { items, methods, itemLength, justification } = ASK_LIMITS;
    const longest = (n: number): string => `/${String(n).padStart(2, "0")}${"a".repeat(itemLength - 3)}`;
    const host = Array.from({ length: 4 }, () => "a".repeat(62)).join(".");
    const wanted: Ask = {
      kind: "host",
      host,
      methods: Array.from({ length: methods }, (_, i) => `${"ABCDEFGHIJKLMNOP"[i]}${"X".repeat(31)}`),
      paths: Array.from({ length: items }, (_, i) => ({ type: "exact", value: longest(i) })),
    };
    const asked = { kind: "request", ask: wanted, justification: "\u20ac".repeat(justification) };
    expect(superviseAskSchema.parse(asked)).toEqual(asked);
    const { subjects, subjectLength } = ASK_LIMITS;
    const exception: Ask = {
      kind: "git-exception",
      repo: "app",
      code: "path-protected",
      subjects: Array.from(
        { length: subjects },
        (_, i) => `${String(i).padStart(2, "0")}${"\u6f22".repeat(subjectLength - 2)}`,
      ),
    };
    // Some take more room than they have letters: three bytes for one, or eight letters to show what has no shape.
    for (const words of [
      asked.justification,
      "\u200b".repeat(justification),
      `${"x".repeat(justification - 1)}\u200b`,
    ]) {
      const k = keeper();
      for (const [n, each] of [exception, wanted].entries()) {
        expect(k.ask(each, 0, words).kind).toBe("new");
        expect(k.approve(ticketOf(n + 1), 1, { reason: words, by: "\u20ac".repeat(200) })).toBe("decided");
      }
      expect(k.revoke(ticketOf(1), 2, words)).toBe("decided");
      expect(k.ask(HOST, 2, words).kind).toBe("new");
      expect(k.deny(ticketOf(3), 3, words)).toBe("decided");
      expect(k.log.length).toBe(7);
      for (const { data } of k.log) expect(boundedData(data)).toEqual(data);
      expect(replay(k.log.flatMap(({ event, data }) => approvalEvent(event, data) ?? []))).toEqual(
        k.ledger(),
      );
    }
  });

  it("has nothing in it that is on the log and cannot be seen", () => {
    for (const unseen of ["\ufe00", "\u{e0100}", "\u3164", "\u200b", "\u001b"]) {
      const subjects = [`a${unseen}b`];
      expect(
        keeper().ask({ kind: "git-exception", repo: "app", code: "path-protected", subjects }, 0),
      ).toMatchObject({
        kind: "refused",
      });
    }
  });
});

describe("what the agent is told", () => {
  it("has no name of a credential in it", () => {
    const told = capabilitiesOf(withGrant(PLANNED, HOST, T1));
    expect(capabilitiesSchema.parse(told)).toEqual(told);
    expect(JSON.stringify(told)).not.toContain("GITHUB_TOKEN");
    expect(told.routes.map(({ host, authenticated }) => [host, authenticated])).toEqual([
      ["known.test", true],
      ["api.x.test", false],
    ]);
  });
});

function raise(): never {
  throw new Error("not there");
}
