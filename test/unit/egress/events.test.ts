import { describe, expect, it } from "vitest";
import type { FromSidecar } from "../../../src/contract/sidecar.ts";
import type { Finding } from "../../../src/inspect/finding.ts";
import { refuse } from "../../../src/sidecars/egress/denial.ts";
import { type Allowed, createReporter } from "../../../src/sidecars/egress/events.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";

const limits = { ...LIMITS, eventsPerSecond: 3, countedEvents: 2 };
const allowed: Allowed = {
  method: "GET",
  host: "a.com",
  path: "/x",
  via: "http",
  status: 200,
  up: 1,
  down: 10,
  ms: 5,
  credential: ["authorization"],
  complete: true,
};

function reporter() {
  const told: Record<string, unknown>[] = [];
  const emit = (message: FromSidecar): void => {
    if (message.type === "event") told.push({ event: message.event, ...message.data });
  };
  return { told, report: createReporter(emit, limits) };
}

describe("events", () => {
  it("are told one by one as long as they are few", () => {
    const { told, report } = reporter();
    report.allowed(allowed);
    report.denied(refuse("host-not-allowed", "r", "no route for b.com"), {
      method: "CONNECT",
      host: "b.com",
    });
    expect(told).toEqual([
      { event: "egress.allowed", ...allowed },
      {
        event: "egress.denied",
        code: "host-not-allowed",
        target: "CONNECT b.com",
        rule: "no route for b.com",
      },
    ]);
  });

  it("above that are counted, and none is lost", () => {
    const { told, report } = reporter();
    for (let i = 0; i < 10; i++) report.allowed({ ...allowed, path: `/${i}` });
    expect(told).toHaveLength(3);
    report.flush();
    expect(told.at(-1)).toMatchObject({ event: "egress.allowed", host: "a.com", count: 7, up: 7, down: 70 });
    expect(told).toHaveLength(4);
    report.allowed(allowed);
    expect(told).toHaveLength(5);
  });

  it("of what an exception let through are counted too: no grant can fill the log", () => {
    const { told, report } = reporter();
    const finding: Finding = {
      ...{ detector: "github-token", kind: "pattern", fingerprint: "0123456789abcdef" },
      ...{ start: 0, end: 9, through: [] },
    };
    for (let i = 0; i < 10; i++) report.excepted(finding, "g1", "a.com");
    report.flush();
    expect(told).toHaveLength(4);
    expect(told.at(-1)).toMatchObject({ event: "egress.excepted", host: "a.com", grant: "g1", count: 7 });
  });

  it("regression: of a decoy and of grants are told of by name, however many others there are", () => {
    const { told, report } = reporter();
    for (let i = 0; i < 170; i++) {
      report.denied(refuse("host-not-allowed", "r", "no route"), { method: "GET", host: `${i}.com` });
    }
    const finding: Finding = {
      ...{ detector: "github-token", kind: "pattern", fingerprint: "0123456789abcdef" },
      ...{ start: 0, end: 9, through: [] },
    };
    report.denied(refuse("canary-found", "r", "no decoy"), { method: "GET", host: "a.com" });
    report.excepted(finding, "g1", "a.com");
    report.allowed({ ...allowed, grant: "g2" });
    report.masked([finding], { method: "GET", host: "a.com" });
    report.flush();
    expect(told).toEqual(
      expect.arrayContaining([
        { event: "egress.denied", others: true, code: "canary-found", count: 1 },
        { event: "egress.excepted", others: true, grant: "g1", count: 1 },
        { event: "egress.allowed", others: true, grant: "g2", count: 1, up: 1, down: 10 },
        { event: "egress.masked", others: true, detector: "github-token", count: 1 },
      ]),
    );
  });

  it("of invented hosts share one line", () => {
    const { told, report } = reporter();
    for (let i = 0; i < 100; i++) {
      report.denied(refuse("host-not-allowed", "r", "no route"), { method: "CONNECT", host: `${i}.com` });
    }
    report.flush();
    expect(told).toHaveLength(3 + 2 + 1);
    const counts = told.map((event) => Number(event["count"] ?? 1));
    expect(counts.reduce((sum, count) => sum + count)).toBe(100);
    expect(told.at(-1)).toMatchObject({ event: "egress.denied", others: true, count: 95 });
  });
});
