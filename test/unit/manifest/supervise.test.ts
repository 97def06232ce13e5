import { describe, expect, it } from "vitest";
import { supervise } from "../../../src/manifest/supervise-schema.ts";

const read = (value: unknown) => supervise.safeParse(value);

describe("supervise", () => {
  it("is off, on with what is usual, or as it says", () => {
    expect(read(false).data).toBeUndefined();
    expect(read(true).data).toEqual({ patienceMs: 900_000, freezeOnCanary: false });
    expect(read({}).data).toEqual(read(true).data);
    expect(read({ deadline: "2h", notify: ["notify-send", "a b"], freeze_on_canary: true }).data).toEqual({
      patienceMs: 7_200_000,
      notify: ["notify-send", "a b"],
      freezeOnCanary: true,
    });
  });

  it.each([
    [{ deadline: "1s" }],
    [{ deadline: "25h" }],
    [{ deadline: "15" }],
    [{ deadline: "1.5h" }],
    [{ deadline: 15 }],
    [{ notify: [] }],
    [{ notify: "notify-send x" }],
    [{ notify: ["a\nb"] }],
    [{ freeze: true }],
    ["yes"],
  ])("does not take %j", (value) => {
    expect(read(value).success).toBe(false);
  });
});
