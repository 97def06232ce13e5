import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/inspect/finding.ts";
import { createFindings } from "../../../src/sidecars/git-gate/scan/findings.ts";

const finding = (fingerprint: string, kind: Finding["kind"] = "pattern"): Finding => ({
  ...{ detector: "token", kind, fingerprint, through: [], start: 0, end: 1 },
});
const findingsOf = (excepted: readonly string[] = []): ReturnType<typeof createFindings> =>
  createFindings(
    (subject) => excepted.includes(subject),
    (path) => `<${path}>`,
  );

describe("what was found in a push", () => {
  it("is nothing to refuse it for when there is nothing", () => {
    expect(findingsOf().refusal()).toBeUndefined();
  });

  it("is told once for a value in a file: where it stands first", () => {
    const findings = findingsOf();
    for (const line of [3, 7]) findings.add(finding("a"), { in: "file", path: "x", line }, "blob");
    expect(findings.refusal()?.findings).toEqual([
      { rule: "token", kind: "pattern", mark: "a", in: "file", path: "x", line: 3 },
    ]);
  });

  it("is told with the first commit that brought it, and the path it had there", () => {
    const findings = findingsOf();
    findings.add(finding("a"), { in: "file", path: "late", line: 1 }, "blob");
    findings.add(finding("b"), { in: "commit", commit: "c0" });
    expect(findings.areUnplaced()).toBe(true);
    for (const [commit, id, path] of [
      ["c1", "other", "o"],
      ["c2", "blob", "early"],
      ["c3", "blob", "late"],
    ] as const) {
      findings.place({ commit, id, path, letter: "A", before: [], mode: "100644" });
    }
    expect(findings.areUnplaced()).toBe(false);
    expect(findings.refusal()?.findings).toMatchObject([
      { mark: "a", commit: "c2", path: "<early>", line: 1 },
      { mark: "b", commit: "c0" },
    ]);
  });

  it("is not held without end: a thousand of them, of which twenty are told", () => {
    const findings = findingsOf();
    for (let i = 0; i < 1_200; i++) findings.add(finding(`${i}`), { in: "file", path: "x", line: i }, "blob");
    const refusal = findings.refusal();
    expect(refusal?.reason).toContain("1000 values");
    expect(refusal?.findings).toHaveLength(20);
  });

  it("regression: never hides the decoy, behind however many others", () => {
    const findings = findingsOf();
    for (let i = 0; i < 1_200; i++) findings.add(finding(`${i}`), { in: "file", path: "x", line: i }, "blob");
    findings.add(finding("decoy", "canary"), { in: "ref" });
    expect(findings.refusal()?.findings?.[0]).toMatchObject({ kind: "canary", mark: "decoy" });
  });

  it("may pass where the operator excepts it, unless it is known to be secret", () => {
    const findings = findingsOf(["token:a", "token:b", "token:c"]);
    findings.add(finding("a"), { in: "ref" });
    findings.add(finding("b", "rule"), { in: "ref" });
    expect(findings.refusal()).toBeUndefined();
    findings.add(finding("c", "known"), { in: "ref" });
    expect(findings.refusal()).toMatchObject({ code: "secret-found", subjects: [] });
  });
});
