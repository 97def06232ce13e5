import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/inspect/finding.ts";
import { type Place, ruleOn } from "../../../src/sidecars/egress/inspection/ruling.ts";

const finding = (kind: Finding["kind"], detector: string, start: number, end: number): Finding => ({
  ...{ kind, detector, start, end, through: [], fingerprint: "00112233aabbccdd" },
});
const BODY: Place = { surface: "the body", host: "api.test", maskable: true };
const mayHave = (name: string, host: string): boolean => name === "BOUND" && host === "api.test";
const kindOf = (found: readonly Finding[], onMatch: "block" | "redact" | "ask" = "block", place = BODY) =>
  ruleOn(found, place, onMatch, mayHave).kind;

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
    expect(kindOf([pattern], "redact", { ...BODY, maskable: false })).toBe("refuse");
    expect(kindOf([pattern, finding("known", "OTHER", 0, 20)], "redact")).toBe("refuse");
    expect(kindOf([pattern, finding("canary", "decoy", 0, 20)], "redact")).toBe("refuse");
    for (const unread of ["too-much-encoding", "too-many-secrets"])
      expect(kindOf([pattern, finding("pattern", unread, 90, 5000)], "redact")).toBe("refuse");
  });

  it("names the worst of it, where it was, behind what, and how to ask", () => {
    const ruling = ruleOn(
      [
        finding("pattern", "github-token", 0, 9),
        { ...finding("known", "OTHER", 20, 40), through: ["base64", "hex"] },
      ],
      BODY,
      "ask",
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
});
