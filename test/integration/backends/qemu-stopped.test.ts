/** A micro-VM that stands still: its disk is whole then, and its clock is right afterwards. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { flattenDisk, keptDisk } from "../../../src/backends/qemu/disk.ts";
import { runIn, sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
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
