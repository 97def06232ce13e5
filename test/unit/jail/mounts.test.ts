import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bindWords, currentMounts } from "../../../src/jail/mounts.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "bbm-")));
mkdirSync(join(folder, "data"));
symlinkSync("data", join(folder, "link"));
afterAll(() => rmSync(folder, { recursive: true }));

const mount = (path: string, ...options: string[]) => ({ path, options: new Set(options) });

describe("the words of a bind", () => {
  it("make it read-only, without set-id bits and devices, unless it is to be written", () => {
    const from = join(folder, "data");
    expect(bindWords([{ from, to: "/data" }], [mount("/", "rw")])).toEqual([
      "bind,ro,nosuid,nodev",
      from,
      "/sys/data",
    ]);
    expect(bindWords([{ from, to: "/data", writable: true }], [mount("/", "rw")])[0]).toBe(
      "bind,rw,nosuid,nodev",
    );
  });

  it("name what a link leads to", () => {
    expect(bindWords([{ from: join(folder, "link"), to: "/x" }], [mount("/")])[1]).toBe(join(folder, "data"));
  });

  it("keep programs out where the source has none, of the innermost mount and the last on one place", () => {
    const from = join(folder, "data");
    const inner = [mount("/", "rw"), mount(folder, "rw"), mount(folder, "rw", "noexec"), mount("/elsewhere")];
    expect(bindWords([{ from, to: "/x" }], inner)[0]).toBe("bind,ro,nosuid,nodev,noexec");
    expect(bindWords([{ from, to: "/x" }], [...inner].reverse())[0]).toBe("bind,ro,nosuid,nodev");
  });

  it("take what is mounted below along, and make each read-only by itself", () => {
    const below = mount(join(folder, "data/a b"), "rw", "noexec");
    const beside = mount(`${folder}/database`, "rw");
    expect(bindWords([{ from: join(folder, "data"), to: "/" }], [mount("/"), below, beside])).toEqual([
      "rbind,ro,nosuid,nodev",
      join(folder, "data"),
      "/sys",
      "remount,bind,ro,nosuid,nodev,noexec",
      "/sys/a b",
      "/sys/a b",
    ]);
  });

  it("are made in a chroot too, where the mount of the root itself is not seen", () => {
    expect(bindWords([{ from: join(folder, "data"), to: "/x" }], [])[0]).toBe("bind,ro,nosuid,nodev");
  });
});

describe("this process's mounts", () => {
  it("are read with their options, the root among them", () => {
    const mounts = currentMounts();
    expect(mounts.map(({ path }) => path)).toContain("/proc");
    for (const { options } of mounts) expect(options.has("rw") || options.has("ro")).toBe(true);
  });
});
