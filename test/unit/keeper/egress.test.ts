import { describe, expect, it } from "vitest";
import { askedByEgress } from "../../../src/keeper/egress.ts";
import { testInbox } from "../../support/inbox.ts";

const finding = {
  kind: "finding",
  host: "api.example.test",
  detector: "github-token",
  finding: "4f2a",
} as const;
const request = (ask: object) => ({ kind: "request", ask, justification: "egress: the body has one" });

function asked(data: unknown) {
  const inbox = testInbox();
  const happened: object[] = [];
  const log = {
    happened: async (event: string, said: unknown): Promise<never> => {
      happened.push({ event, said });
      return undefined as never;
    },
  };
  return { inbox, happened, answer: askedByEgress(data, { inbox, log }) };
}

describe("what egress asks the keeper", () => {
  it("waits in the inbox like what an agent asks, and once", async () => {
    const { inbox, answer, happened } = asked(request(finding));
    expect(await answer).toMatchObject({ kind: "request", joined: false });
    expect(inbox.view().pending).toMatchObject([{ ask: finding, justification: "egress: the body has one" }]);
    expect(await inbox.ask(request(finding))).toMatchObject({ kind: "request", joined: true });
    expect(happened).toEqual([]);
  });

  it.each([
    ["a host", request({ kind: "host", host: "evil.test", methods: [], paths: [] })],
    ["that the agent's own request is taken back", { kind: "withdraw", ticket: "0".repeat(32) }],
    ["nonsense", { kind: "request" }],
  ])("is nothing but findings: not %s, which is on the log", async (_what, data) => {
    const { inbox, answer, happened } = asked(data);
    await expect(answer).rejects.toThrow("not its to ask for");
    expect(inbox.view().pending).toEqual([]);
    expect(happened).toMatchObject([{ event: "egress.misbehaved" }]);
  });
});
