/**
 * `bottle commit`: the disk of a bottle that does not run as an image. What was provisioned is taken out in a machine that has nothing but
 * the copy: its file system is a stranger's, and only a guest's kernel ever reads its names and files. Then that is brought to its end, so
 * that what it says to be free is so, and whoever keeps the image makes zeros of it: nothing of what was removed, now or
 * ever, is left in the raw file.
 */
import { chownSync } from "node:fs";
import type { CommitRequest, Progress } from "../../contract/backend.ts";
import { keepRootImage } from "../../image/kept-image.ts";
import { isRoot } from "../../jail/host-uid.ts";
import { cacheOf } from "../../lib/paths.ts";
import { createScope } from "../../lib/scope.ts";
import { forgetProvisioned } from "../../provision/forget.ts";
import { runInGuestOk } from "../../provision/guest-command.ts";
import { bootGuest } from "./boot-guest.ts";
import { flattenDisk, keptDisk } from "./disk.ts";
import { etcFiles } from "./etc.ts";
import { prepareMachine } from "./prepare-machine.ts";

const BUSYBOX = "/run/bottle/busybox";
/** For the programs that take things out. */
const PROCESSES = 64;

/** @throws UserError when there is such an image already, or no disk. */
export async function commitDisk(request: CommitRequest, progress: Progress): Promise<void> {
  const { id, plan, provisioned, stateDir, runtimeDir, name } = request;
  const disk = await keptDisk(stateDir);
  const machine = await prepareMachine(plan.resources, progress);
  await keepRootImage({
    cache: cacheOf(),
    name,
    from: disk.image,
    async write(path) {
      progress("copying the disk");
      await flattenDisk(disk, path);
      progress("taking out what was provisioned");
      const scope = createScope();
      try {
        const guest = await bootGuest(
          {
            ...{ id, stateDir, runtimeDir, machine },
            disks: [{ path, format: "raw" }],
            mounts: [],
            etc: etcFiles(id, []),
            services: new Map(),
            processes: PROCESSES,
            imageEnv: [],
            env: {},
            progress,
          },
          scope,
        );
        const asRoot: typeof guest.exec = (argv, options) =>
          guest.exec([BUSYBOX, ...argv], { ...options, user: "root", cwd: "/" });
        await forgetProvisioned(asRoot, provisioned);
        // All of it on the disk, and nothing left in the journal.
        await runInGuestOk(asRoot, ["mount", "-o", "remount,ro", "/"], { name: "ending the file system" });
        // Room on the host, and no more than that: of what is free, the kernel keeps some for itself.
        await runInGuestOk(asRoot, ["fstrim", "/"], { name: "giving back what is free" });
      } finally {
        await scope.close();
      }
      // It was the machine's own.
      if (isRoot()) chownSync(path, 0, 0);
    },
  });
}
