/** A micro-VM needs no root: the whole of a bottle, for a user who is nobody in particular. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { keptDisk } from "../../../src/backends/qemu/disk.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { startBottle } from "../../support/bottle-guest.ts";
import { BOTTLE, isRoot, runProgram } from "../../support/real-bottle.ts";
import { VM_CACHE, vmLack } from "../../support/vm-host.ts";

const ORDINARY_UID = 65_532;
const lack = await vmLack();

describe.skipIf(lack !== undefined || !isRoot || !isReachable(BOTTLE))(
  "a micro-VM of an ordinary user",
  () => {
    let folder: string;
    beforeAll(async () => {
      // The image is in the cache afterwards.
      const own = await startBottle(qemuBackend);
      const { image } = await keptDisk(own.stateDir);
      await own.close();
      folder = realpathSync(mkdtempSync(join(tmpdir(), "bbu-")));
      for (const path of ["run", "home/bottles", "home/agents", "cache"])
        mkdirSync(join(folder, path), { recursive: true });
      // What takes long to get: the rest of a cache that is used for days is gigabytes.
      const wanted = [
        ...["kernel", "images/names", "images/recipes"],
        relative(VM_CACHE, dirname(image.disk)),
      ];
      const copy = ["-a", "--parents", "--sparse=always", ...wanted, join(folder, "cache")];
      execFileSync("cp", copy, { cwd: VM_CACHE });
      const command = ["sh", "-c", "id -un; uname -n; curl -s https://elsewhere.test/ | cut -c 1-40"];
      const bottle = { agent_provider: { template: "command", command } };
      writeFileSync(join(folder, "home/bottles/b.md"), `---\n${JSON.stringify(bottle)}\n---\n`);
      writeFileSync(join(folder, "home/agents/a.md"), "---\nbottle: b\n---\n");
      execFileSync("chown", ["-R", `${ORDINARY_UID}:${ORDINARY_UID}`, folder]);
      chmodSync(folder, 0o700);
    }, 300_000);
    afterAll(() => removeTree(folder));

    it("starts, has its kernel and its link, and leaves nothing running", async () => {
      const user = ["setpriv", `--reuid=${ORDINARY_UID}`, `--regid=${ORDINARY_UID}`, "--clear-groups"];
      const start = ["start", "a", "--backend", "qemu", "--yes", "--prompt", "x"];
      const run = await runProgram([...user, process.execPath, BOTTLE, ...start], {
        cwd: "/",
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: folder,
          XDG_RUNTIME_DIR: join(folder, "run"),
          BOT_BOTTLE_HOME: join(folder, "home"),
          BOT_BOTTLE_CACHE: join(folder, "cache"),
        },
      });
      expect(run.code, run.stderr).toBe(0);
      const [name, host, denied] = run.stdout.split("\n");
      expect(name).toBe("node");
      expect(host).toMatch(/^a-[a-z0-9]{5}$/);
      expect(denied).toContain('{"denied":{"code":"host-not-allowed"');
      // Of the machines: other processes of that number may be another test's.
      const left = execFileSync("ps", ["-eo", "uid=,comm="], { encoding: "utf8" }).split("\n");
      const machines = left.filter((line) => line.includes("qemu"));
      expect(machines.filter((line) => line.trim().startsWith(`${ORDINARY_UID} `))).toEqual([]);
    }, 180_000);
  },
);

/** Whether everybody may walk to it: a checkout may lie in a home. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); at !== "/"; at = dirname(at)) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
  }
  return true;
}
