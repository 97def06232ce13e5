/** What a headless agent prints is the answer of `bottle start --prompt`: all of it, and nothing else. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRealOperator, type RealOperator, shell } from "../../support/real-bottle.ts";

let operator: RealOperator;
beforeAll(async () => {
  operator = await createRealOperator();
  operator.agent("quick", { agent_provider: shell("echo said at once; echo complained >&2; exit 3") });
  operator.agent("wordy", { agent_provider: shell("seq 1 300000; echo end >&2") });
});
afterAll(() => operator.remove());

describe("a headless agent", () => {
  it("regression: is heard when it is done before its starter has joined", async () => {
    for (let i = 0; i < 3; i++) {
      const run = await operator.bottle(["start", "quick", "--prompt", "go"]);
      expect(run).toMatchObject({ code: 3, stdout: "said at once\n" });
      expect(run.stderr).toContain("complained\n");
    }
  });

  it("regression: is heard from its first word to its last", async () => {
    const { stdout, stderr } = await operator.bottle(["start", "wordy", "--prompt", "go"]);
    expect(stdout.length).toBe(1_988_895);
    expect(stdout.startsWith("1\n2\n3\n")).toBe(true);
    expect(stdout.endsWith("\n299999\n300000\n")).toBe(true);
    expect(stderr).toContain("end\n");
  });
});
