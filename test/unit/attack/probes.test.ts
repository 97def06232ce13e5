import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { countsOf } from "../../../src/attack/attack.ts";
import { junit } from "../../../src/attack/junit.ts";
import { GROUPS, INVARIANTS } from "../../../src/attack/probe.ts";
import { PROBES, probesFor } from "../../../src/attack/probes/all.ts";
import type { ProbeResult } from "../../../src/attack/runner.ts";
import { BACKEND_NAMES } from "../../../src/contract/isolation.ts";
import { packagePath } from "../../../src/lib/package-root.ts";

describe("the probes", () => {
  it("have ids of their own, each of its group", () => {
    expect(new Set(PROBES.map(({ id }) => id)).size).toBe(PROBES.length);
    for (const { id } of PROBES) expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
  });

  it("hold every invariant and fill every group", () => {
    expect(new Set(PROBES.map(({ invariant }) => invariant))).toEqual(
      // I10 is held by every probe that is explained, and by the second in which each is refused.
      new Set(INVARIANTS.filter((name) => name !== "I10")),
    );
    expect(PROBES.filter(({ explained }) => explained === true).length).toBeGreaterThan(60);
    expect(new Set(PROBES.map(({ group }) => group))).toEqual(new Set(GROUPS));
  });

  it("name no backend: where backends differ, it is by what they have", () => {
    for (const { id, ...probe } of PROBES) {
      const text = JSON.stringify(probe).toLowerCase();
      for (const name of BACKEND_NAMES)
        if (name !== "namespace") expect(text.replaceAll("docker.sock", ""), id).not.toContain(name);
    }
  });

  it("say how they are refused, and why where they may be slow or something else is seen", () => {
    for (const { id, tries, refused, slow, otherwise = [], controlOtherwise = [] } of PROBES) {
      expect(refused.length, id).toBeGreaterThan(0);
      expect(refused, id).not.toContain("got");
      expect(refused, id).not.toContain("timeout");
      expect(tries, id).toMatch(/^[a-z].{10,}[^.]$/);
      if (slow !== undefined) expect(slow, id).toMatch(/ /);
      for (const { because, seen } of [...otherwise, ...controlOtherwise]) {
        expect(because, id).toMatch(/ /);
        expect(seen.length, id).toBeGreaterThan(0);
      }
    }
  });

  it("succeed inside only where it is said what the bottle lacks", () => {
    // Behind every link of today: supervise is nobody's but the guest's there, and asks for no bearer.
    for (const { id, otherwise = [] } of PROBES)
      for (const { seen, without = [] } of otherwise)
        if (seen.includes("got") && id !== "own-mcp-bearer") expect(without.length, id).toBeGreaterThan(0);
  });

  it.each([
    ["protocol-vsock", /hypervisor.*bottle doctor says so/],
    ["kernel-keyrings", /operator's session.*bottle doctor says so/],
    ["protocol-bluetooth", /the host's own code.*bottle doctor says so/],
  ])("say what is open to a guest on the host's kernel without a filter: %s", (id, words) => {
    const { otherwise = [] } = probesFor([id]).probes[0] ?? {};
    const stated = otherwise.find(({ without = [] }) => !without.includes("sharedKernel"));
    expect(stated?.because).toMatch(words);
  });

  it("are chosen by id, group and invariant", () => {
    const { probes } = probesFor(["I5", "names", "push-file"]);
    expect(
      probes.every(
        ({ id, group, invariant }) => invariant === "I5" || group === "names" || id === "push-file",
      ),
    ).toBe(true);
    expect(probes.map(({ id }) => id)).toContain("push-file");
    expect(probesFor([]).probes).toEqual(PROBES);
  });

  it("are all in docs/security.md, under the invariants that they hold, and no others are", () => {
    const text = readFileSync(packagePath("docs/security.md"), "utf8");
    const sections = text.split(/^## /m).filter((section) => /^I\d+ /.test(section));
    const listed = sections.flatMap((section) => {
      const invariant = /^I\d+/.exec(section)?.[0] ?? "";
      const probes = section.slice(section.indexOf("**Probes**"));
      return [...probes.matchAll(/`([a-z0-9]+(?:-[a-z0-9]+)+)`/g)].map(([, id]) => `${invariant} ${id}`);
    });
    expect(listed.sort()).toEqual(PROBES.map(({ id, invariant }) => `${invariant} ${id}`).sort());
  });
});

it("those that are only stated are not counted among those that held", () => {
  const results = (["held", "held", "stated", "escaped", "not-run"] as const).map((outcome) => ({
    outcome,
    held: outcome === "held" || outcome === "stated",
  }));
  expect(countsOf(results)).toBe("2 held, 1 as stated, 2 failed");
});

describe("JUnit's XML", () => {
  const result: ProbeResult = {
    id: "kernel-x",
    invariant: "I7",
    group: "kernel",
    tries: 'says "<&>"',
    expected: "refused: EPERM",
    seen: "succeeded: \u0000\u001b[31m]]>",
    seconds: 0.5,
    refusalSeconds: null,
    control: "succeeded: x",
    outcome: "escaped",
    why: "it <did>",
    held: false,
  };
  const report = {
    backend: "namespace" as const,
    capabilities: null,
    results: [result],
    probes: 1,
    problems: ["a & b"],
    seconds: 2,
    holds: false,
  };

  it("has what a hostile guest said, and nothing that XML cannot hold", () => {
    const text = junit([report]);
    expect(text).toContain('tests="2" failures="2"');
    expect(text).toContain("says &quot;&lt;&amp;&gt;&quot;");
    expect(text).toContain("succeeded: ??[31m]]&gt;");
    expect(text).toContain('message="a &amp; b"');
    expect(text).not.toMatch(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd]/);
  });
});
