import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { faultOfPlace } from "../../../src/backends/namespace/operator-mounts.ts";
import { GUEST } from "../../../src/contract/backend.ts";

describe("the place of an operator's mount", () => {
  it.each([
    "/data",
    "/srv/a/b c",
    '/mnt/it\'s "odd" – 漢',
    "/opt/tools",
    "/opt/bottles",
    "/home/nodes",
    "/home/other",
    `${GUEST.home}/data`,
    `${GUEST.workspace}/vendor`,
    "/etc/some-agent/managed.json",
    "/usrlocal",
    "/run/secrets",
    "/data/...",
  ])("may be %j", (place) => {
    expect(faultOfPlace(place)).toBeUndefined();
  });

  it.each([
    "",
    "data",
    "/",
    "//",
    "/data/",
    "/data//x",
    "/data/./x",
    "/data/../etc",
    "/..",
    "/da\0ta",
    "/usr",
    "/usr/local/x",
    "/bin",
    "/lib64/x",
    "/proc/1",
    "/dev",
    "/sys/x",
    "/tmp",
    "/home",
    GUEST.home,
    GUEST.workspace,
    "/etc",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/resolv.conf",
    "/opt",
    "/opt/bottle",
    "/opt/bottle/programs/guest-init.mjs",
  ])("may not be %j, and the fault says why", (place) => {
    expect(faultOfPlace(place)).toMatch(/\w/);
  });

  it("never covers, and never lies in, what the bottle makes for itself", () => {
    const part = fc.constantFrom(
      "home",
      "node",
      "workspace",
      "etc",
      "ssl",
      "opt",
      "bottle",
      "usr",
      "tmp",
      "x",
      "..",
      ".",
      "",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const place = `/${parts.join("/")}`;
        fc.pre(faultOfPlace(place) === undefined);
        const covers = (path: string): boolean => path === place || path.startsWith(`${place}/`);
        for (const needed of [GUEST.home, GUEST.workspace, "/etc", "/opt/bottle", "/usr", "/tmp", "/proc"]) {
          expect(covers(needed)).toBe(false);
        }
        expect(place).not.toMatch(/^\/(usr|tmp|opt\/bottle|etc\/ssl)(\/|$)/);
        expect(place.split("/")).not.toContain("..");
      }),
    );
  });
});
