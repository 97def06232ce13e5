import { describe, expect, it } from "vitest";
import { describeChange } from "../../../src/approvals/difference.ts";
import { passagesOf } from "../../../src/cli/inbox/words.ts";
import { pendingOf } from "../../support/inbox-views.ts";

describe("what waits, in words", () => {
  it("regression: has all that would newly be possible (I6): methods and a path of any length hid the credential behind them", () => {
    // As many and as long as a request may name.
    const methods = Array.from({ length: 16 }, (_, i) => String.fromCharCode(65 + i).repeat(32));
    const path = `/${"p".repeat(511)}`;
    const described = [
      describeChange({
        ...{ kind: "request", host: `${"h".repeat(60)}.test`, methods, path, headers: [] },
        ...{ credentials: ["DEPLOY_TOKEN"], inspected: false },
      }),
    ];
    const [possible] = passagesOf(pendingOf(1, { described }));
    expect(possible?.lines.join("")).toContain(`${path} with DEPLOY_TOKEN, not inspected`);
  });
});
