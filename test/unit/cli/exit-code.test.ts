import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { exitCodeOf } from "../../../src/cli/attach.ts";
import type { ExitStatus } from "../../../src/contract/backend.ts";
import { describeExit } from "../../../src/keeper/settlement.ts";

describe("how an agent ended", () => {
  it.each<[ExitStatus, number, string]>([
    [{ kind: "exited", code: 0 }, 0, "exit 0"],
    [{ kind: "exited", code: 255 }, 255, "exit 255"],
    [{ kind: "signalled", signal: "SIGINT" }, 130, "SIGINT"],
    [{ kind: "signalled", signal: "SIGKILL" }, 137, "SIGKILL"],
    [{ kind: "signalled", signal: "SIGTERM" }, 143, "SIGTERM"],
    [{ kind: "lost", reason: "the guest is gone" }, 1, "the guest is gone"],
  ])("%j is exit code %d and the words %j", (exit, code, words) => {
    expect(exitCodeOf(exit)).toBe(code);
    expect(describeExit(exit)).toBe(words);
  });

  it("is never success when it was a signal, whichever", () => {
    for (const signal of Object.keys(constants.signals) as NodeJS.Signals[])
      expect(exitCodeOf({ kind: "signalled", signal })).toBeGreaterThan(128);
  });
});
