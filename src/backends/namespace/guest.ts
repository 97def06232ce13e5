/** A running `namespace` guest: its init, and the two ways files get in and out. */
import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { chmod, cp, lstat, mkdir, readdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ExecOptions, type Execution, GUEST, type Guest } from "../../contract/backend.ts";
import type { Freezer } from "../../jail/freezer.ts";
import type { GuestClient } from "../../jail/guest-client.ts";
import { UserError } from "../../lib/errors.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { copyInOverExec, copyOutOverExec } from "../../provision/transfer.ts";

/** The kernel refuses in under a millisecond. Silence fails the launch, so a busy host gets time to be heard. */
const PROBE_TIMEOUT_MS = 3_000;

export function createGuest(parts: {
  readonly client: GuestClient;
  readonly ended: Promise<string>;
  readonly freezer?: Freezer;
  /** Host folder behind the guest's read-only root: how the host writes the guest's /etc. */
  readonly rootDir: string;
  readonly env: Readonly<Record<string, string>>;
}): Guest {
  const { client } = parts;

  const exec = async (
    argv: readonly [string, ...string[]],
    options: ExecOptions = {},
  ): Promise<Execution> => {
    if (options.user === "root") {
      throw new UserError("a namespace bottle has no root user", { hint: "run it without --user root" });
    }
    return client.exec(argv, {
      ...options,
      cwd: options.cwd ?? GUEST.home,
      env: { ...parts.env, ...(options.tty && { TERM: "xterm-256color" }), ...options.env },
    });
  };

  return {
    exec,
    async copyIn(from, to, owner) {
      if (owner.user === "root") await writeBelowRoot(parts.rootDir, from, to, owner.mode);
      else await copyInOverExec(exec, from, to, owner);
    },
    copyOut: (from, to, leftOut) => copyOutOverExec(exec, from, to, leftOut),
    dial: (port) => client.dial(port),
    probe: (targets) => client.probe(targets, PROBE_TIMEOUT_MS),
    ...(parts.freezer && { freezer: parts.freezer }),
    ended: parts.ended,
  };
}

/** The guest cannot write here, so no link of its making can lie in the way. */
async function writeBelowRoot(
  rootDir: string,
  from: string,
  to: string,
  mode: number | undefined,
): Promise<void> {
  if (!to.startsWith("/etc/") || to.split("/").includes("..")) {
    throw new Error(`only /etc of a namespace guest has files of root's: ${to}`);
  }
  const target = join(rootDir, to);
  const beside = `${target}.${randomBytes(4).toString("hex")}`;
  const made = await mkdir(dirname(target), { recursive: true });
  if (made !== undefined) {
    for (let at = dirname(target); at.length >= made.length; at = dirname(at)) await chmod(at, 0o755);
  }
  try {
    await cp(from, beside, { recursive: true, verbatimSymlinks: true });
    await makeReadable(beside, mode);
    // A file is replaced at once; a folder only when there is none.
    if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory()) await removeTree(target);
    await rename(beside, target);
  } catch (error) {
    await removeTree(beside);
    throw error;
  }
}

/** Whatever the operator's umask made of it: the guest's uid is neither its owner nor in its group. */
async function makeReadable(path: string, mode: number | undefined): Promise<void> {
  const stat = await lstat(path);
  if (stat.isDirectory()) {
    await chmod(path, 0o755);
    for (const name of await readdir(path)) await makeReadable(join(path, name), mode);
  } else if (stat.isFile()) await chmod(path, mode ?? (stat.mode & 0o111 ? 0o755 : 0o644));
}
