/** A machine that ends without a word, like a computer whose plug is pulled: what its launch wrote is on its disk. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { type BackendHost, HOSTS } from "../../support/backend-hosts.ts";
import { killIfThere } from "../../support/bottle-cli.ts";

/** Files of the others' guests, a stand-in's too, are the host's. */
const machines = HOSTS.filter(({ backend }) => backend === "qemu");

describe.each(machines)(
  "a $backend bottle that is killed as soon as it is ready",
  ({ lack, backend, start }) => {
    if (lack !== undefined) {
      console.warn(`SKIPPED: a sudden end on ${backend}: ${lack}`);
      it.skip(`has the workspace that it was started with (${lack})`);
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), "bb-sudden-"));
    let host: BackendHost;
    beforeAll(async () => {
      host = await start();
      const git = (...args: readonly string[]) => execFileSync("git", args, { cwd: folder });
      git("init", "-q");
      writeFileSync(join(folder, "file"), "of the operator\n");
      git("add", "file");
      git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", "a file");
    }, 300_000);
    afterAll(async () => {
      await host?.close();
      await removeTree(folder);
    }, 60_000);

    it("regression: has the workspace that it was started with", async () => {
      const { cli } = host;
      const started = await cli.run(["start", "day", "--cwd", "--detach", "--yes", "-p", "sleep 600"], {
        cwd: folder,
      });
      expect(started.code).toBe(0);
      for (const fault of ["guest", "keeper"] as const)
        for (const pid of host.victims(fault)) killIfThere(pid);
      const resumed = await cli.run(["resume", started.stdout.trim(), "-p", "cat file; git status --short"]);
      expect(resumed).toMatchObject({ code: 0, stdout: "of the operator\n" });
    }, 180_000);
  },
);
