import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { textWidth } from "../../../src/cli/inbox/text-width.ts";
import { createPainter } from "../../../src/cli/screen/frame.ts";
import { createKeyDecoder } from "../../../src/cli/screen/keys.ts";
import { cursorIn, type Effect, initialState, itemsOf, type State } from "../../../src/cli/screen/state.ts";
import { type ScreenEvent, update } from "../../../src/cli/screen/update.ts";
import { type Row, render } from "../../../src/cli/screen/view.ts";
import type { InboxView } from "../../../src/keeper/inbox-protocol.ts";
import { grantOf, NOW, pendingOf, ticketOf, viewOf } from "../../support/inbox-views.ts";

const SIZE = { rows: 24, columns: 80 };

/** A screen in a test's hands: what was done to it, and what it asked for. */
function screen(views: readonly InboxView[] = [], size = SIZE) {
  let state = initialState(size, NOW);
  const effects: Effect[] = [];
  const tell = (event: ScreenEvent): void => {
    const step = update(state, event);
    state = step.state;
    effects.push(...step.effects);
  };
  for (const view of views) tell({ kind: "view", view });
  const draw = (): string => {
    const rows = render(state);
    tell({ kind: "drawn", state });
    return rows.map(({ text }) => text.trimEnd()).join("\n");
  };
  return {
    effects,
    tell,
    draw,
    get state(): State {
      return state;
    },
    /** Drawn before the first key and after each. */
    type(keys: string): void {
      draw();
      for (const key of createKeyDecoder().write(Buffer.from(keys))) {
        tell({ kind: "key", key });
        draw();
      }
    },
    /** All before anything is drawn. */
    burst(keys: string): void {
      for (const key of createKeyDecoder().write(Buffer.from(keys))) tell({ kind: "key", key });
    },
    get selected(): string | undefined {
      const items = itemsOf(state);
      return items[cursorIn(items, state)]?.key;
    },
  };
}

describe("the screen", () => {
  it("shows what waits above, bottles with what they were given below, and the difference of what the cursor is on", () => {
    const on = screen([
      viewOf("a-00000", { pending: [pendingOf(1), pendingOf(2)], label: "mine" }),
      viewOf("b-00000", { grants: [grantOf(3)], frozen: true }),
    ]);
    const text = on.draw();
    const at = (part: string): number => text.split("\n").findIndex((line) => line.includes(part));
    expect(at("waiting: 2   2 bottles")).toBe(0);
    expect(at("> 9e3779b1")).toBe(1);
    expect(at("a-00000 (worker, mine)")).toBeGreaterThan(2);
    expect(at("b-00000 (worker)  FROZEN")).toBeGreaterThan(3);
    expect(at("60 min  GET h3.test/*")).toBe(at("b-00000 (worker)") + 1);
    expect(at("would newly be possible")).toBeGreaterThan(at("h3.test"));
    expect(text).toContain("  | because");
    on.type("G");
    expect(on.draw()).toContain("newly possible with it");
  });

  it("keeps the cursor on what it is on while others come and go, and near it when that goes", () => {
    const view = (...numbers: readonly number[]): ScreenEvent => ({
      kind: "view",
      view: viewOf("a-00000", { pending: numbers.map((number) => pendingOf(number)) }),
    });
    const on = screen();
    on.tell(view(2, 3, 4));
    on.type("j");
    expect(on.selected).toBe(`pending ${ticketOf(3)}`);
    on.tell(view(1, 2, 3, 4));
    expect(on.selected).toBe(`pending ${ticketOf(3)}`);
    on.tell(view(1, 2, 4));
    expect(on.selected).toBe(`pending ${ticketOf(4)}`);
    on.tell({ kind: "gone", bottle: "a-00000" });
    expect(on.selected).toBeUndefined();
    on.type("jkGg\r aedrft");
    expect(on.effects).toEqual([]);
  });

  it("regression: begins at the top, in whatever order the bottles' first news come", () => {
    const on = screen();
    on.tell({ kind: "view", view: viewOf("b-00000", { pending: [pendingOf(5), pendingOf(6)] }) });
    on.tell({ kind: "view", view: viewOf("a-00000", { pending: [pendingOf(1), pendingOf(2)] }) });
    expect(on.selected).toBe(`pending ${ticketOf(1)}`);
    on.burst("jj");
    expect(on.selected).toBe(`pending ${ticketOf(5)}`);
  });

  it("approves what was on the screen, for as long as was typed", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.type("a2h\r");
    expect(on.effects).toMatchObject([
      {
        kind: "approve",
        lifetime: { kind: "for", milliseconds: 7_200_000 },
        subject: { bottle: "a-00000", ticket: ticketOf(1), digest: "d1", isEdited: false },
      },
    ]);
  });

  it("approves nothing that was not drawn yet, however fast it is typed (I6)", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.draw();
    on.burst("a\r\r\r");
    expect(on.effects).toEqual([]);
    expect(on.draw()).toContain("not all of it was on the screen yet");
    on.burst("\r");
    expect(on.effects).toHaveLength(1);
  });

  it("wants every line of a long difference to have been on the screen (I6)", () => {
    const described = Array.from({ length: 70 }, (_, i) => `GET h.test/p${i}`);
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1, { described })] })]);
    on.type("a\x1b[F\r");
    expect(on.effects).toEqual([]);
    on.type("\r\r");
    expect(on.effects).toEqual([]);
    on.type("\r");
    expect(on.effects).toHaveLength(1);
  });

  it("approves what was opened, and says when that has changed or gone meanwhile", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.type("a");
    on.tell({
      kind: "view",
      view: viewOf("a-00000", { pending: [pendingOf(1, { digest: "other" }), pendingOf(0)] }),
    });
    expect(on.draw()).toContain("what it would allow has changed");
    on.type("\r");
    expect(on.effects).toMatchObject([{ subject: { ticket: ticketOf(1), digest: "d1" } }]);
    on.type("a");
    on.tell({ kind: "view", view: viewOf("a-00000") });
    expect(on.draw()).toContain("it is not waiting any more");
  });

  it("asks for a lifetime until it is one, and leaves everything with Escape", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.type("asoon\r");
    expect(on.draw()).toContain("write once, 30m, 2h, 1d, session or always");
    on.type("\x15session\r");
    on.type("a\x1b[200~once\n\x1b[201~\r");
    expect(on.effects.map((effect) => "lifetime" in effect && effect.lifetime)).toEqual([
      { kind: "session" },
      { kind: "once" },
    ]);
    on.tell({ kind: "key", key: { kind: "character", text: "a" } });
    on.tell({ kind: "key", key: { kind: "named", name: "escape" } });
    expect(on.state.mode.kind).toBe("list");
    expect(on.effects).toHaveLength(2);
  });

  it("takes nothing of a paste for keys", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.type("\x1b[200~a\r\ry\r\x1b[201~");
    expect([on.effects, on.state.mode.kind]).toEqual([[], "list"]);
  });

  it("shows what would be written before it is approved for always", () => {
    const on = screen([viewOf("a-00000", { pending: [pendingOf(1)] })]);
    on.type("aalways\r");
    const [planned] = on.effects;
    expect(planned).toMatchObject({ kind: "plan-always", subject: { ask: { host: "h1.test" } } });
    if (planned?.kind !== "plan-always") throw new Error("nothing was planned");
    const { subject } = planned;
    on.tell({
      kind: "always",
      subject,
      passages: [{ heading: "would be written", lines: ["+x"], kind: "fact" }],
    });
    expect(on.draw()).toContain("+x");
    on.type("\r");
    expect(on.effects).toHaveLength(1);
    on.type("y");
    expect(on.effects[1]).toEqual({ kind: "approve-always", subject });
  });

  it("denies with a reason, revokes what was given, freezes and thaws, edits", () => {
    const on = screen([
      viewOf("a-00000", { pending: [pendingOf(1)], grants: [grantOf(2)] }),
      viewOf("b-00000", { frozen: true }),
    ]);
    on.type("dno  way\x17route\r");
    on.type("e");
    on.type("jjrdone\r");
    on.type("kf\r");
    on.type("t");
    on.type("Gt");
    expect(on.effects).toMatchObject([
      { kind: "deny", bottle: "a-00000", ticket: ticketOf(1), reason: "no  route" },
      { kind: "edit", pending: { ticket: ticketOf(1) } },
      { kind: "revoke", ticket: ticketOf(2), reason: "done" },
      { kind: "freeze", bottle: "a-00000", reason: "" },
      { kind: "thaw", bottle: "b-00000" },
    ]);
  });

  it("filters by what is typed, by host, bottle or ticket, and Escape shows all again", () => {
    const on = screen([
      viewOf("a-00000", { pending: [pendingOf(1), pendingOf(12)] }),
      viewOf("b-00000", { pending: [pendingOf(3)] }),
    ]);
    on.type("/H1");
    expect(on.draw()).toContain("waiting: 2 of 3");
    on.type("2\r");
    expect(on.selected).toBe(`pending ${ticketOf(12)}`);
    on.type("/\x15b-00\r");
    expect(itemsOf(on.state).map(({ key }) => key)).toEqual([`pending ${ticketOf(3)}`, "bottle b-00000"]);
    on.burst("j");
    on.tell({ kind: "key", key: { kind: "named", name: "escape" } });
    expect(itemsOf(on.state)).toHaveLength(5);
  });

  it("goes through every key of a burst", () => {
    const pending = Array.from({ length: 200 }, (_, i) => pendingOf(i));
    const on = screen([viewOf("a-00000", { pending })]);
    on.burst("j".repeat(150) + "k".repeat(33));
    expect(on.selected).toBe(`pending ${ticketOf(117)}`);
  });

  it("has a page of help, and any key leaves it", () => {
    const on = screen();
    on.type("?");
    expect(on.draw()).toContain("any key goes back");
    on.type("q");
    expect([on.state.mode.kind, on.effects]).toEqual(["list", []]);
    on.type("q");
    expect(on.effects).toEqual([{ kind: "quit" }]);
  });
});

const hostileText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(
      fc.constantFrom(
        "\x1b[2J",
        "\u202e",
        "\n",
        "漢",
        "e\u0301",
        "❤\ufe0f",
        "👩\u200d💻",
        "\u0007",
        "a ",
        "\u009b1m",
        "\u20dd",
      ),
    )
    .map((parts) => parts.join("")),
);
const someView = fc
  .record({
    bottle: fc.constantFrom("a-00000", "b-00000", "c-00000"),
    text: hostileText,
    pending: fc.integer({ min: 0, max: 30 }),
    grants: fc.integer({ min: 0, max: 4 }),
    frozen: fc.boolean(),
  })
  .map(({ bottle, text, pending, grants, frozen }) =>
    viewOf(bottle, {
      agent: text,
      label: text,
      frozen,
      pending: Array.from({ length: pending }, (_, i) =>
        pendingOf(bottle.charCodeAt(0) * 100 + i, { justification: text.repeat(i), described: [text, text] }),
      ),
      grants: Array.from({ length: grants }, (_, i) => ({
        ...grantOf(bottle.charCodeAt(0) * 100 + 50 + i),
        by: text,
      })),
    }),
  );
const someEvent: fc.Arbitrary<ScreenEvent> = fc.oneof(
  fc.constantFrom(..."jkgGaedrft/?q\r\x1b\t\x7fxy2h".split("")).map((text): ScreenEvent => {
    const [key] = [
      ...createKeyDecoder().write(Buffer.from(text)),
      { kind: "named", name: "escape" } as const,
    ];
    return { kind: "key", key: key ?? { kind: "named", name: "escape" } };
  }),
  fc
    .constantFrom("up", "down", "page-up", "page-down", "home", "end" as const)
    .map((name): ScreenEvent => ({ kind: "key", key: { kind: "named", name: name as "up" } })),
  hostileText.map((text): ScreenEvent => ({ kind: "key", key: { kind: "pasted", text } })),
  someView.map((view): ScreenEvent => ({ kind: "view", view })),
  fc.constantFrom("a-00000", "b-00000").map((bottle): ScreenEvent => ({ kind: "gone", bottle })),
  fc
    .record({ rows: fc.integer({ min: 1, max: 60 }), columns: fc.integer({ min: 1, max: 200 }) })
    .map((size): ScreenEvent => ({ kind: "size", size })),
  hostileText.map((text): ScreenEvent => ({ kind: "failed", text })),
  fc.integer({ min: 0, max: 10 ** 7 }).map((more): ScreenEvent => ({ kind: "tick", now: NOW + more })),
);

describe("whatever happens", () => {
  it("draws exactly as many rows and cells as there are, and nothing that a terminal obeys", () => {
    fc.assert(
      fc.property(fc.array(someEvent, { maxLength: 40 }), (events) => {
        const on = screen();
        for (const event of events) {
          on.tell(event);
          const rows = render(on.state);
          expect(rows.length).toBe(on.state.size.rows);
          for (const { text } of rows) {
            expect(textWidth(text)).toBe(on.state.size.columns);
            expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it("approves only what was drawn with that digest before Enter (I6)", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(someEvent, fc.boolean()), { maxLength: 60 }), (events) => {
        const on = screen();
        const drawn = new Set<string>();
        for (const [event, isDrawn] of events) {
          const before = on.effects.length;
          on.tell(event);
          for (const effect of on.effects.slice(before)) {
            if (effect.kind !== "approve") continue;
            expect(drawn.has(`${effect.subject.ticket} ${effect.subject.digest}`)).toBe(true);
          }
          if (!isDrawn) continue;
          on.draw();
          const { mode } = on.state;
          if (mode.kind === "approve") drawn.add(`${mode.subject.ticket} ${mode.subject.digest}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("frames", () => {
  it("write only the rows that changed, each at its own place", () => {
    const painter = createPainter({ colour: true });
    const rows = ["one", "two", "three"].map((text): Row => ({ text, style: "plain" }));
    expect(painter.paint(rows)).toContain("\x1b[3;1H\x1b[2Kthree");
    expect(painter.paint(rows)).toBe("");
    const changed = painter.paint(rows.with(1, { text: "TWO", style: "warning" }));
    expect(changed).toBe("\x1b[?2026h\x1b[2;1H\x1b[2K\x1b[1;33mTWO\x1b[0m\x1b[?2026l");
    painter.forget();
    expect(painter.paint(rows)).toContain("one");
  });

  it("have no colour where none is wanted", () => {
    const painter = createPainter({ colour: false });
    const styles = ["plain", "title", "heading", "dim", "selected", "warning", "agent"] as const;
    expect(painter.paint(styles.map((style) => ({ text: "x", style })))).not.toMatch(
      /\x1b\[[0-9;]*[34][0-7]m/,
    );
  });
});
