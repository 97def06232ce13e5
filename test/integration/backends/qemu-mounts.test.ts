/** The operator's mounts in a micro-VM: there at each start, and nobody's to change. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { GUEST } from "../../../src/contract/backend.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { runIn, sh, startBottle, type TestBottle, temporaryFolder } from "../../support/bottle-guest.ts";
import { vmLack } from "../../support/vm-host.ts";

const lack = await vmLack();

describe.skipIf(lack !== undefined)("mounts of a micro-VM", () => {
  let folder: string;
  let bottle: TestBottle | undefined;
  const mounts = () => [
    { from: join(folder, "data"), to: `${GUEST.home}/deep/data` },
    { from: join(folder, "data/one"), to: "/srv/file" },
  ];

  beforeAll(async () => {
    folder = await temporaryFolder();
    mkdirSync(join(folder, "data/sub"), { recursive: true });
    writeFileSync(join(folder, "data/one"), "first\n");
    chmodSync(join(folder, "data/one"), 0o600);
    writeFileSync(join(folder, "data/sub/two"), "second\n");
    symlinkSync("one", join(folder, "data/link"));
    // An image may have to be made first.
    bottle = await startBottle(qemuBackend, { mounts: mounts() });
  }, 300_000);
  afterAll(async () => {
    await bottle?.close();
    await removeTree(folder);
  });
  const guest = () => bottle?.guest ?? expect.fail("no guest");

  it("are there, readable by the agent whatever their owner on the host", async () => {
    const said = await sh(guest(), "cat deep/data/one deep/data/sub/two deep/data/link /srv/file");
    expect(said).toBe("first\nsecond\nfirst\nfirst");
  });

  it.each(["agent", "root"] as const)("cannot be written to by %s", async (user) => {
    const tries = "echo x >/srv/file || echo x >/home/node/deep/data/new || rm -f /home/node/deep/data/one";
    const { code, stderr } = await runIn(guest(), ["sh", "-c", tries], { user, cwd: "/" });
    expect(code).not.toBe(0);
    expect(stderr.toString()).toMatch(/Read-only file system/);
  });

  it("cannot be written to by root who mounts their disk himself", async () => {
    const text = "mkdir -p /m && mknod /m.dev b 254 16 && mount -o rw /m.dev /m && echo x >/m/0/one";
    const { code, stderr } = await runIn(guest(), ["sh", "-c", text], { user: "root", cwd: "/" });
    expect(code).not.toBe(0);
    expect(stderr.toString()).toMatch(/read-only|write-protected|Read-only/i);
  });

  it.each([
    ["/proc/x", /made anew/],
    ["/usr", /needs/],
    ["relative", /no absolute path/],
    ["/a/../b", /not written plainly/],
  ])("are refused at %s, before anything starts", async (to, why) => {
    await expect(startBottle(qemuBackend, { mounts: [{ from: join(folder, "data"), to }] })).rejects.toThrow(
      why,
    );
  });
});
