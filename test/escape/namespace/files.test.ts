/** I1, I2: of the host's files a guest sees the system's programs, and writes nothing but its own. */
import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { beforeAll, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { runOutside } from "../../support/outer-network.ts";
import { FILTER_CASES, missing } from "./filters.ts";
import type { FilesInput, FilesReport } from "./programs/outer-files.ts";

const PROGRAM = packagePath("test/escape/namespace/programs/outer-files.ts");
const isHostRoot = process.getuid?.() === 0;
const secret = `what only the operator may know ${Math.random()}`;

/** Where operators and services have their things; but not where these tests' own programs are. */
const IN_USE = [process.execPath, packagePath(), packagePath("node_modules"), tmpdir()].map((path) =>
  realpathSync(path),
);
const FOLDERS = ["/root", "/home", "/var", "/run", "/mnt", "/media", "/srv", "/boot", "/opt"].filter(
  (folder) => !IN_USE.some((path) => path.startsWith(`${folder}/`)),
);
const PREPARE = `
for folder in ${FOLDERS.join(" ")}; do if [ -d $folder ]; then mount -n -t tmpfs tmpfs $folder; fi; done
echo ${JSON.stringify(secret)} >/dev/shm/bot-bottle-shadow-$$
mount -n --bind /dev/shm/bot-bottle-shadow-$$ /etc/shadow
rm /dev/shm/bot-bottle-shadow-$$`;

describe.each(FILTER_CASES)("a guest $name", (filterCase) => {
  let report: FilesReport;
  const reason = missing(filterCase);
  beforeAll(async () => {
    if (reason !== undefined) return;
    const input: FilesInput = { folders: FOLDERS, secret };
    report = await runOutside<FilesReport>(PROGRAM, { hide: filterCase.hide, prepare: PREPARE, input });
  });
  const attack = (name: string, test: () => void): void => {
    it(name, (ctx) => {
      if (reason !== undefined) ctx.skip(reason);
      test();
    });
  };

  attack("control: outside, all of it can be read, listed and written", () => {
    expect(report.probes.filter(({ outside }) => !/^(read|listed|written)/.test(outside))).toEqual([]);
    expect(report.probes.length).toBeGreaterThan(25);
    // Even root lacks a capability for one or the other in a container, so some must do.
    if (isHostRoot)
      expect(report.kernel.filter(({ outside }) => outside === "written").length).toBeGreaterThan(1);
  });

  attack("reads, lists and writes nothing of the host's", () => {
    const refused = ["ENOENT", "EACCES", "EROFS", "EPERM", "ENOTDIR"];
    expect(report.probes.filter(({ inside }) => !refused.includes(inside))).toEqual([]);
    expect(report.kernel.filter(({ inside }) => !refused.includes(inside) && inside !== "read ")).toEqual([]);
  });

  attack("finds no way around through /proc, its parents or its links", () => {
    expect(report.detours).toEqual([]);
  });

  attack("writes its home, /tmp and /dev/shm, and otherwise only devices that keep nothing", () => {
    expect(report.ownPlaces).toEqual(["/home/node written", "/tmp written", "/dev/shm written"]);
    const devices = ["null", "zero", "full", "random", "urandom", "tty", "pts", "pts/ptmx"].map(
      (name) => `/dev/${name}`,
    );
    // What this test hides from the backend is the null device here.
    const expected = [...devices, ...filterCase.hide];
    expect(report.writable.filter((path) => !expected.includes(path))).toEqual([]);
  });

  attack("has at its root what was put there", () => {
    const known = [
      "bin",
      "dev",
      "etc",
      "home",
      "lib",
      "lib32",
      "lib64",
      "libx32",
      "opt",
      "proc",
      "sbin",
      "tmp",
      "usr",
    ];
    expect(report.top.filter((name) => !known.includes(name))).toEqual([]);
  });

  attack("knows no user but itself and nobody", () => {
    expect(report.passwd).toBe("node nobody");
  });

  attack("has nothing of its keeper's environment in that of any process", () => {
    expect(report.environments).toContain("SEEN=by the agent");
    expect(report.environments).not.toContain(secret);
    expect(report.environments).not.toMatch(/JAIL_|BOT_BOTTLE_TEST_SECRET/);
  });

  attack("has no mount to write on but its own, whoever the files on it belong to", () => {
    expect([...report.writableMounts].sort()).toEqual([
      "/dev/pts",
      "/dev/shm",
      "/home/node",
      "/proc",
      "/tmp",
    ]);
  });

  attack("has no mount on which a set-id bit counts", () => {
    expect(report.mountsWithoutNosuid).toEqual([]);
  });
});
