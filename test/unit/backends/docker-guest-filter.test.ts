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

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly { readonly index: number; readonly value: number; readonly op: string }[];
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
    const narrowed = JSON.parse(await narrowedFilter(file(JSON.stringify(THEIRS)))) as typeof THEIRS & {
      readonly syscalls: readonly Rule[];
    };
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
    expect(allowed("socket").map(({ args = [] }) => args.map(({ value }) => value))).toEqual([
      ...[[1], [2], [10], [16, 0]],
    ]);
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
