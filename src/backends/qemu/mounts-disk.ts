/**
 * The operator's `mounts` in a machine that shares no folder with its host: copied onto a small disk as the machine
 * starts, which QEMU keeps from being written to, whoever in the guest tries. What changes on the host afterwards is seen
 * at the next start. A disk, and not a copy over the link, because it is made in a second a gigabyte and takes no memory.
 */
import { randomBytes } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { chmod, open } from "node:fs/promises";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import { applyLayer, newLayerCount } from "../../image/apply-layer.ts";
import { beginDisk } from "../../image/ext4/write-disk.ts";
import { newFolder } from "../../image/tree.ts";
import { packTar } from "../../lib/archive/pack-tar.ts";
import { codeOf, UserError } from "../../lib/errors.ts";

/** Larger folders belong into the image. It takes only what is in it. */
const DISK_BYTES = 64 * 1024 ** 3;

/** Made by the machine itself, or what a guest cannot do without. */
const OWN = ["/proc", "/sys", "/dev", "/run"] as const;
const NEEDED = [
  "/",
  "/bin",
  "/etc",
  "/home",
  "/lib",
  "/lib64",
  "/sbin",
  "/tmp",
  "/usr",
  GUEST.home,
  GUEST.workspace,
];

export interface PlacedMount {
  readonly from: string;
  readonly to: string;
}

/** Checks `mounts`, and puts a folder before what lies in it. @throws UserError naming the mount that cannot be, and why. */
export function placeMounts(mounts: readonly PlannedMount[]): readonly PlacedMount[] {
  return [...mounts]
    .sort((a, b) => a.to.split("/").length - b.to.split("/").length)
    .map((mount) => {
      const fault = faultOfPlace(mount.to);
      if (fault !== undefined) throw refusal(mount, fault);
      const from = realSource(mount);
      const stat = statSync(from);
      if (!stat.isDirectory() && !stat.isFile()) throw refusal(mount, "it is neither a folder nor a file");
      return { from, to: mount.to };
    });
}

function faultOfPlace(to: string): string | undefined {
  if (!to.startsWith("/") || to.includes("\0")) return "its place is no absolute path";
  if (
    to !== "/" &&
    to
      .slice(1)
      .split("/")
      .some((part) => ["", ".", ".."].includes(part))
  )
    return "its place is not written plainly (no //, no ., no .., no / at the end)";
  const own = OWN.find((folder) => to === folder || to.startsWith(`${folder}/`));
  if (own !== undefined) return `${own} is made anew for each bottle`;
  return NEEDED.includes(to) ? `it would cover ${to}, which the bottle needs` : undefined;
}

function realSource(mount: PlannedMount): string {
  try {
    return realpathSync(mount.from);
  } catch (error) {
    throw refusal(
      mount,
      codeOf(error) === "ENOENT" ? "it does not exist" : `it cannot be reached (${codeOf(error)})`,
    );
  }
}

/** Writes them as `0`, `1`… of a disk at `path`, which must not exist; all is the agent's, as far as modes go. */
export async function writeMountsDisk(path: string, mounts: readonly PlacedMount[]): Promise<void> {
  const file = await open(path, "wx+", 0o600);
  try {
    const disk = beginDisk(file, DISK_BYTES);
    const root = newFolder();
    const count = newLayerCount();
    const owner = { uid: GUEST.uid, gid: GUEST.gid };
    for (const [i, { from }] of mounts.entries()) {
      const target = { root, content: disk.content, count, layer: i + 1 };
      await applyLayer(packTar(from, Buffer.from(String(i)), { owner }), target);
    }
    await disk.finish(root, randomBytes(16));
    await chmod(path, 0o444);
  } finally {
    await file.close();
  }
}

function refusal(mount: PlannedMount, why: string): UserError {
  return new UserError(`cannot mount ${mount.from} at ${mount.to}: ${why}`, {
    hint: "change mounts in the bottle's file",
  });
}
