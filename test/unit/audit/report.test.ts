import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeAsk } from "../../../src/approvals/ask-words.ts";
import type { EventData } from "../../../src/audit/bounded-data.ts";
import type { Entry } from "../../../src/audit/entry.ts";
import { htmlOf } from "../../../src/audit/report/html.ts";
import { markdownOf } from "../../../src/audit/report/markdown.ts";
import { MAX_ROWS, type Page } from "../../../src/audit/report/page.ts";
import { createReport } from "../../../src/audit/report/report.ts";

const SOUND = { sound: true, text: "intact", problems: [] };

function entry(event: string, data: EventData, seq = 1): Entry {
  const time = new Date(Date.UTC(2030, 0, 1) + seq * 1_000).toISOString();
  return { seq, time, event, data, prev: "", hash: "" };
}

function pageOf(events: readonly (readonly [string, EventData])[], verdict: Page["verdict"] = SOUND): Page {
  const report = createReport({ bottle: "worker-00000", describeAsk });
  for (const [i, [event, data]] of events.entries()) report.take(entry(event, data, i + 1));
  return report.page(verdict, 0);
}

function factOf(page: Page, name: string): string {
  const value = page.facts.find(([each]) => each === name)?.[1] ?? "";
  return typeof value === "string" ? value : value.own;
}

function rowsOf(page: Page, title: string): readonly string[][] {
  const section = page.sections.find((each) => each.title === title);
  return (section?.rows ?? []).map((row) =>
    row.map((value) => (typeof value === "string" ? value : value.own)),
  );
}

const TICKET = "ab".repeat(16);
const ASK = { kind: "host", host: "api.x.test", methods: ["POST"], paths: [] };
const UPDATE = { ref: "refs/heads/x", old: "0".repeat(40), new: "1".repeat(40) };

/** One of each event that has a place of its own. */
function story(text: string): readonly (readonly [string, EventData])[] {
  return [
    ["log.opened", { bottle: "worker-00000", format: 1, key: "k" }],
    ["bottle.launching", { agent: text, bottle: text, backend: "namespace", hosts: [text], source: "home" }],
    ["bottle.verified", { isolated: true, results: [text] }],
    ["bottle.ready", { fingerprint: text }],
    ["agent.started", { provider: text, headless: true }],
    ["egress.admitted", { method: "GET", host: text, scheme: "https", path: text, credential: [text] }],
    [
      "egress.allowed",
      {
        method: text,
        host: text,
        path: text,
        status: 200,
        up: 10,
        down: 2_000,
        credential: [text],
        grant: text,
      },
    ],
    ["egress.denied", { code: text, target: text, rule: text, count: 7 }],
    ["egress.masked", { detector: text, target: text, finding: text, through: [] }],
    ["egress.budget", { target: text, kind: "bytes", bytes: 7 }],
    ["request.asked", { ticket: TICKET, ask: ASK, justification: text, at: 0, deadline: 1 }],
    [
      "request.approved",
      {
        ticket: TICKET,
        ask: ASK,
        terms: { lifetime: "for", expiresAt: 3_600_000, uses: null, bytes: 1_024 },
        digest: "d",
        changes: [text],
        by: text,
        reason: text,
        at: 2,
      },
    ],
    ["grant.used", { ticket: TICKET, uses: 2, bytes: 100, at: 3 }],
    ["grant.ended", { ticket: TICKET, how: "revoked", by: text, reason: text, at: 4 }],
    ["review.asked", { ticket: "cd".repeat(16), repo: text, updates: [{ ...UPDATE, ref: text }] }],
    ["review.refused", { ticket: "cd".repeat(16), repo: text, updates: [UPDATE], by: text, note: text }],
    [
      "git.pushed",
      {
        repo: text,
        updates: [UPDATE],
        commits: 1,
        objects: 3,
        bytes: 99,
        unopened: [],
        reviewed: true,
        ms: 4,
      },
    ],
    [
      "git.refused",
      {
        ...{ repo: text, code: text, reason: text, target: text, rule: text, updates: [UPDATE], count: 2 },
        findings: [{ rule: text, kind: "k", mark: "m", in: "file", path: text, line: 3 }],
      },
    ],
    ["git.unresolved", { repo: text, updates: [UPDATE], reason: text }],
    ["git.fetched", { repo: text, changed: 1, ms: 1 }],
    ["deploy-key.left", { repo: text, reason: text }],
    ["exec.started", { argv: ["sh", text], tty: false }],
    ["exec.ended", { argv: ["sh", text], kind: "exited", code: 3 }],
    ["files.copying-in", { to: text }],
    ["files.copied-in", { to: text }],
    ["files.copying-out", { from: text }],
    ["files.copied-out", { from: text, leftOut: 0 }],
    ["bottle.frozen", { by: text, reason: text }],
    ["bottle.thawed", { by: text }],
    ["bottle.out-of-room", { reason: text }],
    ["bottle.has-room", { by: text }],
    ["supervise.misbehaved", { event: text }],
    ["work.exported", { commits: 2, empty: false }],
    ["bottle.ended", { at: text, exit: text, kept: true }],
  ];
}

describe("a report", () => {
  it("counts and tells what the log says", () => {
    const page = pageOf(story("thing"));
    expect(factOf(page, "Agent")).toBe("thing");
    expect(factOf(page, "Took")).toBe("33 s");
    expect(factOf(page, "Reached")).toBe("1 host, 1 request, 10 B sent, 2.0 KiB received");
    expect(factOf(page, "Refused")).toBe("7 requests, 2 at repositories");
    expect(factOf(page, "Asked for")).toBe("2; 1 given, 1 denied or not answered");
    expect(factOf(page, "Pushed")).toBe("1 push");
    expect(factOf(page, "Ended")).toBe("thing");
    const [granted, reviewed] = rowsOf(page, "Asked and given");
    expect(granted).toEqual([
      ...["2030-01-01 00:00:11", "abababab", "POST on api.x.test, any path", "thing"],
      ...["approved (2030-01-01 00:00:12)", "thing", "thing"],
      "for, until 1970-01-01 01:00:00, at most 1.0 KiB: thing",
      ...["2 uses, 100 B", "revoked by thing: thing (2030-01-01 00:00:14)"],
    ]);
    expect(reviewed?.slice(2, 7)).toEqual([
      ...["that a push to thing is let through: thing", "", "denied (2030-01-01 00:00:16)", "thing", "thing"],
    ]);
    expect(rowsOf(page, "Pushed").map(([, result]) => result)).toEqual([
      ...["pushed", "UNKNOWN", "deploy-key.left"],
    ]);
    expect(rowsOf(page, "Refused at repositories").map(([, repo]) => repo)).toEqual(["thing"]);
    expect(rowsOf(page, "Of its sidecars").map(([, what]) => what)).toEqual(["supervise.misbehaved"]);
    expect(rowsOf(page, "What happened").map(([, what]) => what)).toEqual([
      ...[
        "launch",
        "isolation verified from inside",
        "ready",
        "agent started",
        "the operator ran",
        "that ended",
      ],
      ...[
        "the operator copies files in",
        "files copied in",
        "the operator copies files out",
        "files copied out",
        "FROZEN",
        "thawed",
        "FROZEN: no room to record",
        "room again",
        "work taken out",
        "ended",
      ],
    ]);
  });

  it("says of a request that nobody answered that it was refused, and by whom nothing", () => {
    const page = pageOf([
      ["request.asked", { ticket: TICKET, ask: ASK, justification: "x", at: 0, deadline: 1 }],
      ["request.expired", { ticket: TICKET, at: 1 }],
    ]);
    expect(rowsOf(page, "Asked and given")[0]?.slice(4, 7)).toEqual([
      ...["nobody answered: no (2030-01-01 00:00:02)", "", ""],
    ]);
  });

  it("stays small however much happened, and says what it leaves out", () => {
    const events = Array.from({ length: 20_000 }, (_, i): [string, EventData] =>
      i % 2 === 0
        ? ["egress.denied", { code: "host-not-allowed", target: `GET https://h${i}.test`, rule: "r" }]
        : [
            "request.asked",
            { ticket: i.toString(16).padStart(32, "0"), ask: ASK, justification: "x", at: 0, deadline: 1 },
          ],
    );
    const page = pageOf(events);
    expect(factOf(page, "Refused")).toBe("10000 requests, 0 at repositories");
    expect(factOf(page, "Asked for")).toMatch(/^10000;/);
    for (const { rows } of page.sections) expect(rows.length).toBeLessThanOrEqual(MAX_ROWS);
    const text = markdownOf(page);
    expect(text).toContain("And 9500 more.");
    expect(text.length).toBeLessThan(200_000);
  });

  it("tells what was given, pushed and done, however much the agent was refused and had sidecars say before", () => {
    const noise = Array.from({ length: 2 * MAX_ROWS }, (_, i) => {
      const ticket = i.toString(16).padStart(32, "0");
      return [
        [
          "git.refused",
          { repo: "app", code: "c", reason: "r", target: "t", rule: "r", updates: [], findings: [] },
        ],
        ["supervise.refused", { code: "rate", count: 9 }],
        ["request.asked", { ticket, ask: ASK, justification: "x", at: 0, deadline: 1 }],
        ["request.withdrawn", { ticket, at: 1 }],
      ] as const;
    }).flat();
    const page = pageOf([...noise, ...story("thing")]);
    expect(rowsOf(page, "Pushed").map(([, result]) => result)).toContain("pushed");
    expect(rowsOf(page, "What happened").map(([, what]) => what)).toContain("FROZEN");
    expect(
      rowsOf(page, "Asked and given").find(([, ticket]) => ticket === TICKET.slice(0, 8))?.[7],
    ).toContain("thing");
    expect(page.sections.find(({ title }) => title === "Asked and given")?.omitted).toBe(MAX_ROWS + 2);
  });

  it("says that there were more hosts than it tells apart", () => {
    const allowed = Array.from({ length: 5_000 }, (_, i): [string, EventData] => [
      "egress.allowed",
      { method: "GET", host: `h${i}.test`, status: 200, up: 1, down: 0 },
    ]);
    const page = pageOf(allowed);
    expect(factOf(page, "Reached")).toBe("over 4000 hosts, 5000 requests, 4.9 KiB sent, 0 B received");
    expect(rowsOf(page, "Reached over HTTP")[0]?.slice(0, 3)).toEqual(["(others)", "GET", "1000"]);
  });

  it("takes events whose data is not as it should be, and shows what is there", () => {
    const odd: EventData = { ticket: 5, repo: ["x"], count: -3, updates: "no", host: null, argv: {} };
    const page = pageOf(story("x").map(([event]) => [event, odd]));
    expect(markdownOf(page)).toContain("## What happened");
    expect(htmlOf(page)).toContain("</html>");
  });

  it("says loudly when the log is not as it was written", () => {
    const page = pageOf([], { sound: false, text: "BROKEN", problems: ["line 3: changed: <b>"] });
    expect(markdownOf(page)).toContain("**Mind: the log is** BROKEN.");
    expect(markdownOf(page)).toContain("- `line 3: changed: <b>`");
    expect(htmlOf(page)).toContain(
      '<div class="mind"><p>The log is BROKEN.</p><ul><li><code><bdi>line 3: changed: &lt;b&gt;',
    );
  });
});

/** What a hostile log may hold, markup above all. */
const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(
      fc.constantFrom(
        ...[
          "<script>alert(1)</script>",
          "`",
          "``",
          "|",
          "\\",
          "\n",
          "\r\n\r\n# x",
          "</code>",
          '"',
          "'",
          "&amp;",
        ],
        ...[
          "![x](http://x.test/y.png)",
          "[a](javascript:alert(1))",
          "<!--",
          "-->",
          "\u202e",
          "\u001b[31m",
          "~~~",
          "x",
        ],
        ...[
          "| a | b |",
          "http://x.test",
          "<img src=x onerror=alert(1)>",
          "]]>",
          "<bdi>",
          "\u0000",
          "$$",
          "{{",
        ],
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join("")),
);

describe("hostile text in a report", () => {
  it("never changes which tags an HTML page has", () => {
    const skeleton = (html: string): string =>
      (html.match(/<[^>]*>/g) ?? []).join("").replace(/<code><bdi><\/bdi><\/code>/g, "");
    const plain = skeleton(htmlOf(pageOf(story("x"))));
    fc.assert(
      fc.property(hostile, (text) => {
        // What is empty when shown has no element of its own; one letter keeps the shape.
        expect(skeleton(htmlOf(pageOf(story(`x${text}`))))).toBe(plain);
      }),
    );
  });

  it("never leaves its code span, its cell or its line in Markdown", () => {
    const plain = markdownOf(pageOf(story("x"))).split("\n");
    fc.assert(
      fc.property(hostile, (text) => {
        const lines = markdownOf(pageOf(story(`x${text}`))).split("\n");
        expect(lines.length).toBe(plain.length);
        lines.forEach((line, i) => {
          const shape = (of: string): string => of.replace(/`[^`]*`/g, "`").replace(/[0-9]+/g, "0");
          expect(shape(line)).toBe(shape(plain[i] ?? ""));
          expect((line.match(/\|/g) ?? []).length).toBe((plain[i]?.match(/\|/g) ?? []).length);
        });
      }),
    );
  });

  it("shows no control and no bidirectional character, in either form", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const page = pageOf(story(text));
        for (const form of [markdownOf(page), htmlOf(page)])
          expect(form).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  it("makes an HTML page that loads and runs nothing", () => {
    const html = htmlOf(pageOf(story("x")));
    expect(html).toMatch(
      /content="default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; base-uri 'none'; form-action 'none'"/,
    );
    expect(html).not.toMatch(/<(?:script|img|link|iframe|object|a)\b|url\(|@import|https?:/);
  });
});
