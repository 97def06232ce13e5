import { describe, expect, it } from "vitest";
import { judge as judgeAt, QUICK_MS } from "../../../src/attack/judge.ts";
import { type Capabilities, type Probe, type Seen, sh } from "../../../src/attack/probe.ts";

const has: Capabilities = {
  sharedKernel: true,
  linux: true,
  syscallFilter: true,
  ownFilter: true,
  hiddenSys: true,
  memoryLimit: true,
  processLimit: true,
  fileLimit: true,
  nativeProcessor: true,
  outerNetwork: true,
  hostRoot: true,
  ipv6: true,
};
const probe: Probe = {
  id: "x-y",
  invariant: "I1",
  group: "kernel",
  tries: "does it",
  attack: [sh("got it")],
  refused: ["EPERM", "ENOSYS"],
  otherwise: [{ without: ["syscallFilter"], seen: ["got"], because: "there is no filter" }],
  control: "outside",
  controlOtherwise: [{ seen: ["ENOENT"], because: "it is not here" }],
};
const got: Seen = { kind: "got", words: "all of it", ms: 1 };
const refused = (code: string, refusalMs = 1, explained = false): Seen => ({
  ...{ kind: "refused", code, words: "", explained, refusalMs, ms: refusalMs },
});
const notRun: Seen = { kind: "not-run", words: "curl is not here", ms: 1 };

const judge = (probe: Probe, seen: Seen | undefined, control: Seen | undefined, has: Capabilities) =>
  judgeAt(probe, seen, control, has, 0);

describe("a probe", () => {
  it("holds when it is refused as expected and its control succeeds", () => {
    expect(judge(probe, refused("EPERM"), got, has)).toEqual({ outcome: "held" });
  });

  it("that succeeded has escaped", () => {
    expect(judge(probe, got, got, has).outcome).toBe("escaped");
  });

  it("that is refused in another way has escaped, also when only one of several ways is another", () => {
    expect(judge(probe, refused("timeout"), got, has).outcome).toBe("escaped");
    expect(judge(probe, refused("EPERM+timeout"), got, has).outcome).toBe("escaped");
    expect(judge(probe, refused("EPERM+ENOSYS"), got, has).outcome).toBe("held");
    expect(judge(probe, refused(""), got, has).outcome).toBe("escaped");
  });

  it("that was not run, or of which nothing was heard, is no success", () => {
    expect(judge(probe, notRun, got, has)).toEqual({ outcome: "not-run", why: "curl is not here" });
    expect(judge(probe, undefined, got, has).outcome).toBe("not-run");
  });

  it("whose control was not tried, was not run, or was refused proves nothing", () => {
    for (const control of [undefined, notRun, refused("EPERM")])
      expect(judge(probe, refused("EPERM"), control, has).outcome).toBe("no-control");
  });

  it("whose control is known to be impossible on some machines says why", () => {
    expect(judge(probe, refused("EPERM"), refused("ENOENT"), has)).toEqual({
      outcome: "stated",
      why: "it is not here",
    });
  });

  it("may succeed only where it is said what is missing, and only if that is missing", () => {
    const less = { ...has, syscallFilter: false };
    expect(judge(probe, got, got, less)).toEqual({ outcome: "stated", why: "there is no filter" });
    expect(judge(probe, got, refused("EPERM"), less).outcome).toBe("no-control");
  });

  it("is refused within a second, unless it says why that is no matter", () => {
    expect(judge(probe, refused("EPERM", QUICK_MS + 1), got, has).outcome).toBe("slow");
    expect(judge({ ...probe, slow: "it counts" }, refused("EPERM", QUICK_MS + 1), got, has).outcome).toBe(
      "held",
    );
  });

  it("on an emulated processor may take longer by what is allowed takes there, and by no more", () => {
    const late = refused("EPERM", QUICK_MS + 700);
    expect(judgeAt(probe, late, got, has, 700)).toEqual({
      outcome: "stated",
      why: `refused after ${QUICK_MS + 700} ms, on a processor that is emulated: what is allowed takes 700 ms there`,
    });
    expect(judgeAt(probe, late, got, has, 699).outcome).toBe("slow");
    expect(judgeAt(probe, refused("EPERM", QUICK_MS), got, has, 700)).toEqual({ outcome: "held" });
  });

  it("that passes the bundle is refused with an explanation", () => {
    const asked: Probe = { ...probe, explained: true };
    expect(judge(asked, refused("EPERM"), got, has).outcome).toBe("unexplained");
    expect(judge(asked, refused("EPERM", 1, true), got, has).outcome).toBe("held");
  });
});
