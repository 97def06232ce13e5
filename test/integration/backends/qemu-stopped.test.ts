/** A micro-VM that stands still: its disk is whole then, and its clock is right afterwards. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { bootGuest } from "../../../src/backends/qemu/boot-guest.ts";
import { flattenDisk, keptDisk } from "../../../src/backends/qemu/disk.ts";
import { prepareMachine } from "../../../src/backends/qemu/prepare-machine.ts";
import { eraseUnusedBlocks } from "../../../src/image/ext4/erase-unused.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { runIn, sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { textsOn } from "../../support/raw-disk.ts";
import { vmLack } from "../../support/vm-host.ts";

const lack = await vmLack();

describe.skipIf(lack !== undefined)("a micro-VM that stands still", () => {
  let bottle: TestBottle;
  beforeAll(async () => {
    bottle = await startBottle(qemuBackend);
  }, 300_000);
  afterAll(() => bottle.close());

  const newStateDir = (): string => {
    const folder = mkdtempSync(join(bottle.folder, "copy-"));
    chmodSync(folder, 0o700);
    return folder;
  };
  const freezer = () => bottle.guest.freezer ?? expect.fail("it has none");
  const copyDisk = (...to: readonly string[]) => (bottle.guest.copyDisk ?? expect.fail("it has none"))(to);
  /** How far the guest's clock is from this host's, in seconds. */
  const clockError = async (): Promise<number> =>
    Math.abs(Number(await sh(bottle.guest, "date +%s.%N")) - Date.now() / 1000);

  it("is told the time when it goes on", async () => {
    await freezer().freeze();
    await expect(bottle.guest.exec(["true"])).rejects.toThrow("frozen");
    await pause(4_000);
    await freezer().thaw();
    expect(await clockError()).toBeLessThan(3);
  }, 60_000);

  it("gives whole and equal copies of a disk that is being written to", async () => {
    const { guest } = bottle;
    await sh(guest, "echo before >~/before; mkdir ~/many");
    const writer = await guest.exec([
      "sh",
      "-c",
      "i=0; while :; do i=$((i+1)); head -c 5000 /dev/zero >~/many/$i; done",
    ]);
    await pause(1_000);
    const [one, two] = [newStateDir(), newStateDir()];
    await copyDisk(one, two);
    writer.kill("SIGKILL");
    await writer.exit;
    const [first, second] = [one, two].map((folder) => join(folder, "guest.qcow2"));
    expect(readFileSync(first ?? "").equals(readFileSync(second ?? ""))).toBe(true);
    const raw = join(one, "raw");
    await flattenDisk(await keptDisk(one), raw);
    // What was not finished is in its journal, as after a power cut; behind that nothing is wrong.
    const { status } = spawnSync("e2fsck", ["-E", "journal_only", "-fy", raw], { stdio: "ignore" });
    // 1: it had one to replay.
    expect(status).toBeLessThan(2);
    execFileSync("e2fsck", ["-fn", raw], { stdio: "ignore" });
    const said = execFileSync("debugfs", ["-R", "cat /home/node/before", raw], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(said.toString()).toBe("before\n");
    expect((await runIn(guest, ["true"])).code).toBe(0);
  }, 120_000);

  it("regression: what a kernel keeps back of its free blocks, and tells no disk of, is made zeros", async (ctx) => {
    const mark = `deleted-${process.pid}-once`;
    await sh(bottle.guest, `mkdir ~/m; i=0; while [ $i -lt 400 ]; do echo ${mark} >~/m/$i; i=$((i+1)); done`);
    const stateDir = newStateDir();
    await copyDisk(stateDir);
    const raw = join(stateDir, "raw");
    await flattenDisk(await keptDisk(stateDir), raw);
    const scope = createScope();
    try {
      const machine = await prepareMachine({ pids: 64 }, () => {});
      const about = { id: "b-copy", stateDir, runtimeDir: stateDir, machine, mounts: [], etc: {}, env: {} };
      const disks = [{ path: raw, format: "raw" }] as const;
      const guest = await bootGuest(
        { ...about, disks, services: new Map(), processes: 64, imageEnv: [] },
        scope,
      );
      // The second files make it set blocks aside, among those that the first had.
      const busybox = "/run/bottle/busybox";
      const steps = `cd /home/node/m; rm *; sync; for i in 1 2 3 4 5 6 7 8; do echo x >s$i; done; ${busybox} mount -o remount,ro / && ${busybox} fstrim /`;
      const ran = await runIn(guest, ["sh", "-c", steps], { user: "root", cwd: "/" });
      expect(ran.code, ran.stderr.toString()).toBe(0);
    } finally {
      await scope.close();
    }
    // Control: by its own word it gave back all that is free. Where it puts files is its own affair, and not always here.
    if (textsOn(raw, [mark]).length === 0) ctx.skip("the guest's kernel kept none of these blocks back");
    await eraseUnusedBlocks(raw);
    expect(textsOn(raw, [mark])).toEqual([]);
    execFileSync("e2fsck", ["-fn", raw], { stdio: "ignore" });
  }, 120_000);

  it("stays frozen while it is copied, and is not let go on in the middle", async () => {
    await freezer().freeze();
    const copying = copyDisk(newStateDir());
    const thawing = freezer().thaw();
    await Promise.all([copying, thawing]);
    expect((await runIn(bottle.guest, ["true"])).code).toBe(0);
    await freezer().freeze();
    await copyDisk(newStateDir());
    await expect(bottle.guest.exec(["true"])).rejects.toThrow("frozen");
    await freezer().thaw();
    expect((await runIn(bottle.guest, ["true"])).code).toBe(0);
  }, 120_000);
});
