import { describe, expect, it } from "vitest";
import type { FromSidecar } from "../../../src/contract/sidecar.ts";
import { type Refusal, refuse } from "../../../src/sidecars/egress/denial.ts";
import { createQuestions } from "../../../src/sidecars/egress/questions.ts";

const SUBJECT = { method: "POST", scheme: "https", host: "api.test", path: "/v1?key=hidden" };

function found(finding: string, asks = true): Refusal {
  const ask = {
    tool: "request_exception",
    arguments: { finding, detector: "github-token", host: "api.test" },
  };
  return refuse("secret-found", "the body has what looks like a secret in it", "a rule", { ask, asks });
}

function questions(questionsPerMinute = 3) {
  const told: FromSidecar[] = [];
  let time = 0;
  const { about, answer } = createQuestions(
    (message) => told.push(message),
    { questionsPerMinute },
    () => time,
  );
  return {
    ...{ told, about, answer },
    later: (ms: number) => {
      time += ms;
    },
    findings: () =>
      told.map((each) => (each.type === "ask" ? (each.data["ask"] as { finding: string }).finding : "")),
  };
}

describe("a question to the operator", () => {
  it("is for the one value to go to the one host, and says where it was found without the query", () => {
    const { about, told } = questions();
    about(found("1a"), SUBJECT);
    expect(told).toEqual([
      {
        type: "ask",
        ask: expect.any(String) as string,
        data: {
          kind: "request",
          ask: { kind: "finding", host: "api.test", detector: "github-token", finding: "1a" },
          justification: "egress: the body has what looks like a secret in it: POST https://api.test/v1",
        },
      },
    ]);
  });

  it("is none where the refusal asks nothing, or not for a finding", () => {
    const { about, told } = questions();
    about(found("1a", false), SUBJECT);
    about({ ...found("1a"), ask: { tool: "list_capabilities", arguments: {} } }, SUBJECT);
    about(refuse("host-not-allowed", "no route", "a rule"), SUBJECT);
    expect(told).toEqual([]);
  });

  it("is asked once in a minute, and no more of them than a person reads", () => {
    const asked = questions();
    for (const finding of ["1a", "1a", "2b", "3c", "4d", "2b"]) asked.about(found(finding), SUBJECT);
    expect(asked.findings()).toEqual(["1a", "2b", "3c"]);
    asked.later(59_999);
    asked.about(found("4d"), SUBJECT);
    expect(asked.findings()).toHaveLength(3);
    asked.later(1);
    asked.about(found("4d"), SUBJECT);
    asked.about(found("1a"), SUBJECT);
    expect(asked.findings()).toEqual(["1a", "2b", "3c", "4d", "1a"]);
  });

  it("is answered as the one that it was", () => {
    const { about, told, answer } = questions();
    about(found("1a"), SUBJECT);
    const [question] = told;
    expect(answer(question?.type === "ask" ? question.ask : "")).toBe(true);
    expect(answer("another")).toBe(false);
  });
});
