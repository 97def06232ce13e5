/** A micro-VM boots where no machine can be kept, or the one that was kept does not go on; and says so. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bootGuest } from "../../../src/backends/qemu/boot-guest.ts";
import { findKernel } from "../../../src/backends/qemu/kernel.ts";
import { type PreparedMachine, prepareMachine } from "../../../src/backends/qemu/prepare-machine.ts";
import type { Guest } from "../../../src/contract/backend.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { rawArchive } from "../../support/archive-bytes.ts";
import { runIn } from "../../support/bottle-guest.ts";
import { type MadeDisk, makeDisk } from "../../support/raw-disk.ts";
import { VM_CACHE, vmLack } from "../../support/vm-host.ts";

const lack = await vmLack();

describe.skipIf(lack !== undefined)("a micro-VM", () => {
  let folder: string;
  let scope: Scope;
  let disk: MadeDisk;
  let said: string[];
  let machine: PreparedMachine;
  beforeAll(async () => {
    machine = await prepareMachine({ pids: 64 }, () => {});
  }, 120_000);
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbf-"));
    scope = createScope();
    disk = await makeDisk([rawArchive({ name: "note", content: "of the image" })]);
    said = [];
  });
  afterEach(async () => {
    await scope.close();
    disk.remove();
    await removeTree(folder);
  });

  const started = (from: PreparedMachine): Promise<Guest> =>
    bootGuest(
      {
        ...{ id: "b-fallback", stateDir: folder, runtimeDir: folder, machine: from },
        disks: [{ path: disk.path, format: "raw" }],
        ...{ mounts: [], etc: {}, services: new Map(), processes: 64, imageEnv: [], env: {} },
        progress: (text) => said.push(text),
      },
      scope,
    );
  /** What a guest of that machine says that its image has in it. */
  const noteIn = async (from: PreparedMachine): Promise<string> =>
    (await runIn(await started(from), ["cat", "/note"])).stdout.toString();
  /** The template, for one who may break it. */
  const copied = (): string => {
    const path = join(folder, "template");
    execFileSync("cp", ["-r", "--sparse=always", machine.template ?? expect.fail("no template"), path]);
    execFileSync("chmod", ["-R", "u+w", path]);
    // Of the bottles that run beside: their memory is whole.
    execFileSync("rm", ["-rf", join(path, "held-by")]);
    return path;
  };

  it("goes on from a template that is whole, and has nothing to say of it", async () => {
    const template = copied();
    expect(await noteIn({ ...machine, template })).toBe("of the image");
    expect(said).toEqual([]);
    expect(existsSync(template)).toBe(true);
  }, 120_000);

  it.each<[string, (template: string) => void]>([
    ["devices are cut short", (template) => truncateSync(join(template, "devices"), 20_000)],
    ["memory is all zeros", (template) => zeroed(join(template, "memory"))],
  ])(
    "boots where its template's %s, says so, and leaves that template to nobody",
    async (_what, breakIt) => {
      const template = copied();
      breakIt(template);
      expect(await noteIn({ ...machine, template })).toBe("of the image");
      expect(said).toEqual([expect.stringMatching(/^qemu: .* does not go on, so this one boots: \S/)]);
      expect(existsSync(template)).toBe(false);
      await scope.close();
      expect(readdirSync(folder).filter((name) => name.endsWith(".sock"))).toEqual([]);
    },
    120_000,
  );

  it("regression: tells the time when it has booted, and not that when it began to", async () => {
    const from = performance.now();
    const guest = await started({ ...machine, template: undefined });
    const seconds = (performance.now() - from) / 1000;
    // Up to where the next second begins.
    const tick = "s=$($0 date +%s); while [ $($0 date +%s) = $s ]; do :; done; $0 date +%s";
    const busybox = "/run/bottle/busybox";
    const { stdout } = await runIn(guest, [busybox, "sh", "-c", tick, busybox]);
    const behind = Date.now() / 1000 - Number(stdout.toString());
    expect(Math.abs(behind)).toBeLessThan(seconds / 2);
  }, 120_000);

  it("boots where no machine can be kept, and says why", async () => {
    const own = findKernel(undefined, VM_CACHE) ?? expect.fail("no kernel");
    const cache = join(folder, "cache");
    mkdirSync(join(cache, "qemu"), { recursive: true });
    // What was made of this host's files is known there too, and only that.
    const known = join(VM_CACHE, "qemu/made");
    execFileSync("cp", ["-r", known, join(cache, "qemu")]);
    writeFileSync(join(cache, "qemu/templates"), "no folder");
    process.env["BOT_BOTTLE_CACHE"] = cache;
    process.env["BOT_BOTTLE_KERNEL"] = own.image;
    let booting: PreparedMachine;
    try {
      booting = await prepareMachine({ pids: 64 }, (text) => said.push(text));
    } finally {
      process.env["BOT_BOTTLE_CACHE"] = VM_CACHE;
      delete process.env["BOT_BOTTLE_KERNEL"];
    }
    expect(booting.template).toBeUndefined();
    expect(said.at(-1)).toMatch(/^qemu: cannot keep a booted machine, so each bottle boots: .*templates/);
    expect(await noteIn(booting)).toBe("of the image");
  }, 120_000);
});

function zeroed(path: string): void {
  const { size } = statSync(path);
  truncateSync(path, 0);
  truncateSync(path, size);
}
