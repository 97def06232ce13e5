import { describe, expect, it } from "vitest";
import { createClearance, type Passage } from "../../../src/sidecars/egress/clearance.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";

const passage: Passage = {
  method: "GET",
  scheme: "https",
  host: "a.test",
  path: "/first",
  credential: ["authorization"],
};

/** A log whose disk answers when the test says so. */
function heldLog() {
  const lines: { readonly event: string; readonly data: object; readonly written: (ok: boolean) => void }[] =
    [];
  const record = (event: string, data: object): Promise<void> =>
    new Promise((resolve, reject) => {
      lines.push({ event, data, written: (ok) => (ok ? resolve() : reject(new Error("disk full"))) });
    });
  return { lines, record };
}

describe("I8: clearance", () => {
  it("waits for the line, and then lets what that line says go at once", async () => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, LIMITS);
    const waiting = clearance.of(passage);
    expect(lines).toMatchObject([{ event: "egress.admitted", data: passage }]);
    lines[0]?.written(true);
    expect(await waiting).toBeUndefined();
    expect(waiting).toBeDefined();
    expect(clearance.of({ ...passage, path: "/second" })).toBeUndefined();
    expect(lines).toHaveLength(1);
  });

  it("has those that come while the line is written wait for the same one", async () => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, LIMITS);
    const waiting = [clearance.of(passage), clearance.of({ ...passage, path: "/second" })];
    expect(lines).toHaveLength(1);
    lines[0]?.written(true);
    expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
    expect(waiting).not.toContain(undefined);
  });

  it.each([
    ["method", { method: "POST" }],
    ["host", { host: "b.test" }],
    ["scheme", { scheme: "http" }],
    ["credential", { credential: ["x-api-key"] }],
    ["lack of a credential", { credential: [] }],
  ] as const)("does not let another %s go on a line that does not say it", async (_what, other) => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, LIMITS);
    const first = clearance.of(passage);
    lines[0]?.written(true);
    await first;
    expect(clearance.of({ ...passage, ...other })).toBeDefined();
    expect(lines.at(-1)?.data).toEqual({ ...passage, ...other });
  });

  it("refuses what could not be recorded, and tries again for the next", async () => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, LIMITS);
    const waiting = clearance.of(passage);
    lines[0]?.written(false);
    expect(await waiting).toMatchObject({ allow: false, code: "log-unavailable" });
    const again = clearance.of(passage);
    expect(again).toBeDefined();
    expect(lines).toHaveLength(2);
    lines[1]?.written(true);
    expect(await again).toBeUndefined();
  });

  it("lasts for its second only, also when the line came late", async () => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, LIMITS);
    const early = clearance.of(passage);
    clearance.renew();
    lines[0]?.written(true);
    expect(await early).toBeUndefined();
    const late = clearance.of(passage);
    expect(late).toBeDefined();
    lines[1]?.written(true);
    await late;
    expect(clearance.of(passage)).toBeUndefined();
    clearance.renew();
    expect(clearance.of(passage)).toBeDefined();
  });

  it("counts those above the limit of a second as others, under a line that waits like any", async () => {
    const { lines, record } = heldLog();
    const clearance = createClearance(record, { ...LIMITS, eventsPerSecond: 3 });
    for (const host of ["a.test", "b.test", "c.test", "d.test", "e.test"])
      void clearance.of({ ...passage, host });
    expect(lines.map(({ data }) => data)).toMatchObject([
      { host: "a.test" },
      { host: "b.test" },
      { host: "c.test" },
      { others: true },
    ]);
    lines[3]?.written(false);
    expect(await clearance.of({ ...passage, host: "f.test" })).toMatchObject({ code: "log-unavailable" });
    expect(clearance.of({ ...passage, host: "a.test" })).toBeDefined();
    expect(lines).toHaveLength(5 - 1);
  });
});
