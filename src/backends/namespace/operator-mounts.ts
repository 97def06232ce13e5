/**
 * The operator's mounts, made mountable: none hides another or what the bottle itself needs, each has a place to be
 * mounted on, and no link that the guest left in its home leads a mount elsewhere.
 *
 * A place below the home lies on the home's disk and is made there; all others are made in the root's skeleton.
 */
import { lchownSync, lstatSync, mkdirSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import { isRoot } from "../../jail/host-uid.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { TOOLS } from "./root-layout.ts";

/** The host's own, where no place can be made; and the links that lead there. */
const HOST_FOLDERS = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Made anew for each guest after the mounts, and so over them. */
const FRESH_FOLDERS = ["/proc", "/dev", "/sys", "/tmp"];
/** Written when the bottle is provisioned. */
const GENERATED = [
  "/etc/ssl",
  "/etc/passwd",
  "/etc/group",
  "/etc/hosts",
  "/etc/resolv.conf",
  "/etc/nsswitch.conf",
];
const NEEDED = ["/etc", GUEST.home, GUEST.workspace, TOOLS];

type Kind = "folder" | "file";

/**
 * Checks `mounts` and makes their places below the home. The guest does not run yet, or no longer.
 * @returns them in the order to mount them in, with their sources resolved.
 * @throws UserError naming the mount that cannot be, and why.
 */
export function placeMounts(
  mounts: readonly PlannedMount[],
  home: { readonly homeDir: string; readonly hostUid: number },
): readonly PlannedMount[] {
  const placed: (PlannedMount & { kind: Kind })[] = [];
  // A folder comes before what lies in it.
  for (const mount of [...mounts].sort((a, b) => depth(a.to) - depth(b.to))) {
    const fault = faultOfPlace(mount.to);
    if (fault !== undefined) throw refusal(mount, fault);
    const from = realSource(mount);
    const kind = kindOf(mount, from);
    const below = placed.findLast(({ to }) => isWithin(mount.to, to));
    if (below !== undefined) requirePlace(mount, kind, below);
    else if (isWithin(mount.to, GUEST.home)) makePlace(mount, kind, home);
    placed.push({ from, to: mount.to, kind });
  }
  return placed.map(({ from, to }) => ({ from, to }));
}

/** Why nothing can be mounted at `to`, or undefined. */
export function faultOfPlace(to: string): string | undefined {
  if (!to.startsWith("/") || to.includes("\0")) return "its place is no absolute path";
  if (
    to
      .slice(1)
      .split("/")
      .some((part) => part === "" || part === "." || part === "..")
  )
    return "its place is not written plainly (no //, no ., no .., no / at the end)";
  const host = HOST_FOLDERS.find((folder) => isWithin(to, folder));
  if (host !== undefined) return `nothing can be added to ${host}, which is the host's and read-only`;
  const fresh = FRESH_FOLDERS.find((folder) => isWithin(to, folder));
  if (fresh !== undefined) return `${fresh} is made anew for each bottle`;
  const covered = [...NEEDED, ...GENERATED].find((path) => isWithin(path, to));
  if (covered !== undefined) return `it would cover ${covered}, which the bottle needs`;
  const own = [TOOLS, ...GENERATED].find((path) => isWithin(to, path));
  return own === undefined ? undefined : `${own} is the bottle's own`;
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

/** Read-only does not keep anybody from connecting to a socket or from reading a device. */
function kindOf(mount: PlannedMount, path: string): Kind {
  const stat = statSync(path);
  if (stat.isDirectory()) return "folder";
  if (stat.isFile()) return "file";
  throw refusal(mount, "it is neither a folder nor a file");
}

/** In another mount, which is the operator's and read-only, the place must be there already. */
function requirePlace(mount: PlannedMount, kind: Kind, below: PlannedMount): void {
  let at = below.from;
  for (const part of partsBelow(below.to, mount.to)) {
    at = join(at, part);
    if (kindAt(at) === undefined)
      throw refusal(mount, `there is no ${at} to mount it on, and ${below.to} is read-only`);
    if (kindAt(at) === "link") throw refusal(mount, `${at} is a link`);
  }
  if (kindAt(at) !== kind) throw refusal(mount, `${at} is no ${kind}`);
}

function makePlace(
  mount: PlannedMount,
  kind: Kind,
  { homeDir, hostUid }: { readonly homeDir: string; readonly hostUid: number },
): void {
  const parts = partsBelow(GUEST.home, mount.to);
  let at = homeDir;
  for (const [i, part] of parts.entries()) {
    at = join(at, part);
    const wanted = i === parts.length - 1 ? kind : "folder";
    const there = kindAt(at);
    if (there === undefined) {
      if (wanted === "folder") mkdirSync(at, { mode: 0o755 });
      else writeFileSync(at, "", { mode: 0o644, flag: "wx" });
      if (isRoot()) lchownSync(at, hostUid, hostUid);
    } else if (there !== wanted) {
      const shown = join(GUEST.home, ...parts.slice(0, i + 1));
      throw refusal(mount, `in the bottle there is a ${there} at ${shown}`);
    }
  }
}

function partsBelow(folder: string, path: string): readonly string[] {
  return path.slice(folder.length + 1).split("/");
}

function kindAt(path: string): Kind | "link" | "special file" | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (stat.isDirectory()) return "folder";
  if (stat.isFile()) return "file";
  return stat.isSymbolicLink() ? "link" : "special file";
}

function depth(path: string): number {
  return path.split("/").length;
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function refusal(mount: PlannedMount, why: string): UserError {
  return new UserError(`cannot mount ${mount.from} at ${mount.to}: ${why}`, {
    hint: "change mounts in the bottle's file",
  });
}
