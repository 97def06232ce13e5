import { describe, expect, it } from "vitest";
import { INSPECTED, type RouteInspection } from "../../../src/contract/policy.ts";
import type { Finding } from "../../../src/inspect/finding.ts";
import { type Place, ruleOn } from "../../../src/sidecars/egress/inspection/ruling.ts";

const finding = (kind: Finding["kind"], detector: string, start: number, end: number): Finding => ({
  ...{ kind, detector, start, end, through: [], fingerprint: "00112233aabbccdd" },
});
const BODY: Place = { surface: "the body", host: "api.test", isBody: true };
const mayHave = (name: string, host: string): boolean =>
  ["BOUND", "placeholder 1"].includes(name) && host === "api.test";
const routeThat = (onMatch: RouteInspection["onMatch"]) => ({
  ...{ host: "api.test", credential: ["x-api-key"], inspection: { ...INSPECTED, onMatch } },
});
const kindOf = (found: readonly Finding[], onMatch: "block" | "redact" | "ask" = "block", place = BODY) =>
  ruleOn(found, place, routeThat(onMatch), mayHave).kind;

const bound = finding("known", "BOUND", 10, 50);

describe("what is done about what was found", () => {
  it("is nothing about nothing, nor about what may go there, with all that is part of it", () => {
    expect(kindOf([])).toBe("pass");
    expect(kindOf([bound])).toBe("pass");
    expect(kindOf([bound, finding("pattern", "github-token", 10, 50)])).toBe("pass");
    expect(kindOf([bound], "block", { ...BODY, host: "other.test" })).toBe("refuse");
  });

  it("is a refusal for what is beside it, longer than it, or the decoy wherever it stands", () => {
    expect(kindOf([bound, finding("pattern", "github-token", 60, 90)])).toBe("refuse");
    expect(kindOf([bound, finding("pattern", "github-token", 10, 51)])).toBe("refuse");
    expect(kindOf([bound, finding("known", "OTHER", 40, 60)])).toBe("refuse");
    expect(kindOf([bound, finding("canary", "decoy", 20, 30)])).toBe("refuse");
  });

  it("takes a token that joining made longer for the one that may go there, but nothing else", () => {
    const joined = { ...BODY, joined: true };
    expect(kindOf([bound, finding("pattern", "github-token", 10, 51)], "block", joined)).toBe("pass");
    expect(kindOf([bound, finding("pattern", "github-token", 50, 90)], "block", joined)).toBe("refuse");
    expect(kindOf([bound, finding("known", "OTHER", 40, 60)], "block", joined)).toBe("refuse");
    expect(kindOf([bound, finding("canary", "decoy", 20, 30)], "block", joined)).toBe("refuse");
  });

  it("masks patterns where that can be done, and never what is known, or was not read to its end", () => {
    const pattern = finding("pattern", "github-token", 60, 90);
    expect(kindOf([pattern], "redact")).toBe("mask");
    expect(kindOf([finding("rule", "ticket", 0, 9)], "redact")).toBe("mask");
    expect(kindOf([pattern], "redact", { ...BODY, isBody: false })).toBe("refuse");
    expect(kindOf([pattern, finding("known", "OTHER", 0, 20)], "redact")).toBe("refuse");
    expect(kindOf([pattern, finding("canary", "decoy", 0, 20)], "redact")).toBe("refuse");
    for (const unread of ["too-much-encoding", "too-many-secrets", "too-many-near-misses"])
      expect(kindOf([pattern, finding("pattern", unread, 90, 5000)], "redact")).toBe("refuse");
  });

  it("names the worst of it, where it was, behind what, and how to ask", () => {
    const ruling = ruleOn(
      [
        finding("pattern", "github-token", 0, 9),
        { ...finding("known", "OTHER", 20, 40), through: ["base64", "hex"] },
      ],
      BODY,
      routeThat("ask"),
      mayHave,
    );
    expect(ruling).toMatchObject({
      kind: "refuse",
      refusal: {
        code: "secret-found",
        reason: "the body has a value in it that must not leave: OTHER",
        rule: "OTHER: finding 00112233aabbccdd, behind base64, hex",
        ask: {
          tool: "request_exception",
          arguments: { finding: "00112233aabbccdd", detector: "OTHER", host: "api.test" },
        },
      },
    });
  });

  it("has the operator asked where the route says so, for what a yes could let pass", () => {
    const asks = (found: Finding, onMatch: RouteInspection["onMatch"] = "ask"): boolean => {
      const ruling = ruleOn([found], BODY, routeThat(onMatch), mayHave);
      return ruling.kind === "refuse" && ruling.refusal.asks === true;
    };
    expect(asks(finding("pattern", "github-token", 0, 9))).toBe(true);
    expect(asks(finding("rule", "ticket", 0, 9))).toBe(true);
    expect(asks(finding("pattern", "github-token", 0, 9), "block")).toBe(false);
    for (const found of [finding("known", "OTHER", 0, 9), finding("canary", "decoy", 0, 9)])
      expect(asks(found)).toBe(false);
  });

  it("offers no exception for a text that was not read to its end", () => {
    for (const unread of ["too-much-encoding", "too-many-secrets", "too-many-near-misses"])
      for (const onMatch of ["block", "redact", "ask"] as const) {
        const ruling = ruleOn([finding("pattern", unread, 0, 9)], BODY, routeThat(onMatch), mayHave);
        const refusal = ruling.kind === "refuse" ? ruling.refusal : undefined;
        expect(refusal?.reason).toBe(`the body could not be read to its end (${unread})`);
        expect(refusal?.ask?.tool).toBe("list_capabilities");
        expect(refusal?.asks).toBeUndefined();
      }
  });

  it("lets a placeholder stand in bodies to its own host alone, and says that it is one after what is worse", () => {
    const placeholder = finding("known", "placeholder 1", 10, 50);
    const head = { ...BODY, isBody: false };
    expect(kindOf([placeholder])).toBe("pass");
    expect(kindOf([placeholder], "redact")).toBe("pass");
    for (const onMatch of ["block", "redact", "ask"] as const) {
      expect(kindOf([placeholder], onMatch, { ...BODY, host: "other.test" })).toBe("refuse");
      expect(kindOf([placeholder], onMatch, head)).toBe("refuse");
    }
    const codeOf = (...found: readonly Finding[]): unknown =>
      ruleOn(found, head, routeThat("redact"), mayHave);
    expect(codeOf(finding("pattern", "github-token", 0, 9), placeholder)).toMatchObject({
      refusal: { code: "placeholder-misused", rule: expect.stringContaining("x-api-key and nowhere else") },
    });
    expect(codeOf(placeholder, finding("known", "OTHER", 60, 90))).toMatchObject({
      refusal: { code: "secret-found" },
    });
    expect(codeOf(placeholder, finding("canary", "decoy", 60, 90))).toMatchObject({
      refusal: { code: "canary-found" },
    });
  });
});
