/** What bottles of this operator's have left of machines: found by folders and by what smolvm itself lists. */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Looking, OwnedResource } from "../../contract/backend.ts";
import { imageCacheIn, sweepWork } from "../../image/image-cache.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { cacheOf, homeOf } from "../../lib/paths.ts";
import { stopCommand } from "./commands.ts";
import { listMachines, MACHINE_PREFIX } from "./machine.ts";
import { killMachine, type MachinePlace, machineProcesses } from "./machine-processes.ts";
import { lookForSmolvm } from "./probe.ts";
import { callerIn } from "./smolvm.ts";
import { STATE_NAME, shortWays, stateFolderIn } from "./state-folder.ts";

/**
 * Machines that run, and short ways to their folders, of this operator's home. Of one whose folder is gone smolvm knows
 * nothing any more; its short way tells whose it was.
 */
export async function enumerateMachines({
  without = [],
  signal,
}: Looking = {}): Promise<readonly OwnedResource[]> {
  const found: OwnedResource[] = [];
  const { state } = homeOf();
  for (const { short, path } of await shortWays()) {
    if (basename(path) !== STATE_NAME || dirname(dirname(path)) !== state) continue;
    const bottle = basename(dirname(path));
    const common = { backend: "smolmachines", bottle, ours: true } as const;
    const place = placeOf(bottle);
    if (!existsSync(path) && (await machineProcesses(place)).length > 0)
      found.push({ ...common, kind: "machine", name: place.name });
    found.push({ ...common, kind: "short way", name: short });
  }
  const ids = await readdir(state).catch(() => []);
  const used = ids.filter((id) => !without.includes(id) && existsSync(join(state, id, STATE_NAME)));
  if (used.length === 0) return found;
  const smolvm = await lookForSmolvm();
  if ("lack" in smolvm) return found;
  for (const id of used) {
    signal?.throwIfAborted();
    const call = callerIn(smolvm.smolvm, wayTo(join(state, id)));
    for (const { name, state: what } of await listMachines(call)) {
      if (what === "running" || what === "unreachable")
        found.push({ backend: "smolmachines", bottle: id, kind: "machine", name });
    }
  }
  // A machine is stopped while its folder can still be found.
  return found.sort((a, b) => a.kind.localeCompare(b.kind));
}

function placeOf(bottle: string): MachinePlace {
  return { name: `${MACHINE_PREFIX}${bottle}`, folder: stateFolderIn(join(homeOf().state, bottle)) };
}

function wayTo(stateDir: string): string {
  const { short, path } = stateFolderIn(stateDir);
  return existsSync(short) ? short : path;
}

export async function removeResource({ kind, name, bottle }: OwnedResource): Promise<void> {
  if (kind === "short way") {
    await rm(name, { force: true });
    return;
  }
  const place = placeOf(bottle);
  // Without its folder smolvm would make it one.
  if (existsSync(place.folder.path)) await stopInOrder(name, bottle);
  await killMachine(place);
}

async function stopInOrder(name: string, bottle: string): Promise<void> {
  const found = await lookForSmolvm();
  if ("lack" in found)
    throw new UserError(`${name} cannot be stopped without ${found.lack.what}`, { hint: found.lack.remedy });
  const call = callerIn(found.smolvm, wayTo(join(homeOf().state, bottle)));
  await call(stopCommand(name), { timeoutMs: 60_000 }).catch((error: unknown) => {
    if (codeOf(error) !== undefined) throw error;
  });
}

/** What a packing left whose starter was killed: its folder, and with the short way to that whoever was started by it. */
export async function sweepPacking(): Promise<void> {
  const images = imageCacheIn(cacheOf());
  await sweepWork(images);
  for (const { short, path } of await shortWays()) {
    if (!path.startsWith(`${images.work}/`) || existsSync(path)) continue;
    await killMachine({ name: basename(short), folder: { short, path } });
    await rm(short, { force: true });
  }
}
