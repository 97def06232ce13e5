import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { narrowedFilter } from "../../../src/backends/docker/guest-filter.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";

const folder = mkdtempSync(join(tmpdir(), "bbf-"));
afterAll(() => removeTree(folder));

function file(content: string): string {
  const path = join(folder, "seccomp.json");
  writeFileSync(path, content);
  return path;
}

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_NE" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ";
}
interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
  readonly includes?: object;
}

/** As podman's is built, in a few of its lines. */
const THEIRS = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 38,
  archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
  syscalls: [
    {
      names: ["read", "clone", "clone3", "unshare", "keyctl", "socketcall"],
      action: "SCMP_ACT_ALLOW",
      args: [],
    },
    { names: ["bpf", "setns"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_ADMIN"] } },
    { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 2, value: 9, op: "SCMP_CMP_NE" }] },
    { names: ["io_uring_setup"], action: "SCMP_ACT_ALLOW" },
  ],
};

describe("the filter of a guest on podman", () => {
  it("is podman's own, but for the calls that docker's refuses", async () => {
    const narrowed = JSON.parse(await narrowedFilter(file(JSON.stringify(THEIRS)))) as Omit<
      typeof THEIRS,
      "syscalls"
    > & { readonly syscalls: readonly Rule[] };
    expect(narrowed).toMatchObject({ defaultErrnoRet: 38, archMap: THEIRS.archMap });
    const of = (name: string): readonly Rule[] =>
      narrowed.syscalls.filter(({ names }) => names.includes(name));
    expect(of("read")).toEqual([{ names: ["read"], action: "SCMP_ACT_ALLOW", args: [] }]);
    expect(of("bpf")).toEqual([
      { names: ["bpf"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_ADMIN"] } },
    ]);
    for (const [name, errnoRet] of [
      ...[["unshare", 1] as const, ["setns", 1] as const, ["keyctl", 1] as const, ["socketcall", 1] as const],
      ...[["clone3", 38] as const, ["io_uring_setup", 38] as const],
    ])
      expect(of(name)).toMatchObject([{ action: "SCMP_ACT_ERRNO", errnoRet, args: [] }]);
    // Threads and children, and nothing with a new namespace.
    const allowed = (name: string): readonly Rule[] =>
      of(name).filter(({ action }) => action === "SCMP_ACT_ALLOW");
    expect(allowed("clone")).toMatchObject([
      { args: [{ index: 0, op: "SCMP_CMP_MASKED_EQ", value: 0x7e02_0000, valueTwo: 0 }] },
    ]);
  });

  it("has what the filter on namespaces has of the internet's protocols, each decided by one rule at most", async () => {
    const { syscalls } = JSON.parse(await narrowedFilter(file(JSON.stringify(THEIRS)))) as {
      syscalls: readonly Rule[];
    };
    const meets = (given: readonly bigint[], { index, op, value, valueTwo = 0 }: Argument): boolean => {
      const [is, one, two] = [given[index] ?? 0n, BigInt(value), BigInt(valueTwo)];
      const met = { SCMP_CMP_EQ: is === one, SCMP_CMP_NE: is !== one, SCMP_CMP_GT: is > one };
      return { ...met, SCMP_CMP_MASKED_EQ: (is & one) === two }[op];
    };
    const answer = (...given: readonly (number | bigint)[]): string => {
      const words = given.map(BigInt);
      const [rule, ...others] = syscalls.filter(
        ({ names, args = [] }) => names.includes("socket") && args.every((each) => meets(words, each)),
      );
      expect(others, given.join(" ")).toEqual([]);
      return rule === undefined ? "default" : `${rule.action === "SCMP_ACT_ALLOW" ? "ok" : rule.errnoRet}`;
    };
    const CLOEXEC = 0o2000000;
    for (const family of [2, 10]) {
      for (const [type, protocol] of [
        ...[[1, 0] as const, [1, 6] as const, [2, 17] as const, [2, 1] as const, [2, 58] as const],
        ...[[3, 1] as const, [1 | CLOEXEC, 6] as const],
      ])
        expect(answer(family, type, protocol)).toBe("ok");
      // SCTP, UDP-Lite, L2TP, multipath TCP, and TCP in words of which the kernel drops a half.
      for (const protocol of [132, 136, 115, 262, 0x1_0000_0006])
        expect(answer(family, 1, protocol)).toBe("93");
      expect(answer(family, 1, 33)).toBe("default");
      // SCTP's own kind and DCCP's, where no protocol is named.
      for (const type of [4, 5, 6, 10, 12, 5 | CLOEXEC]) expect(answer(family, type, 0)).toBe("94");
    }
    expect([answer(1, 5, 0), answer(16, 3, 0), answer(16, 3, 9), answer(40, 1, 0)]).toEqual([
      "ok",
      "ok",
      "93",
      "97",
    ]);
    expect([answer(3, 5, 0), answer(0x1_0000_0002n, 1, 262)]).toEqual(["default", "97"]);
  });

  it("is refused, where podman's cannot be taken over", async () => {
    for (const wrong of ["", "{}", JSON.stringify({ ...THEIRS, defaultAction: "SCMP_ACT_ALLOW" })])
      await expect(narrowedFilter(file(wrong))).rejects.toMatchObject({
        message: expect.stringContaining("seccomp.json"),
        hint: expect.stringContaining("docker"),
      });
    await expect(narrowedFilter(join(folder, "absent"))).rejects.toThrow("ENOENT");
  });
});
