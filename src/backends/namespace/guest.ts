/** A running `namespace` guest: its jail, its init, and the two ways files get in and out. */
import { randomBytes } from "node:crypto";
import { cp, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ExecOptions, type Execution, GUEST, type Guest } from "../../contract/backend.ts";
import { createGuestClient } from "../../jail/guest-client.ts";
import type { HeldJail } from "../../jail/jail.ts";
import { UserError } from "../../lib/errors.ts";
import { copyInOverExec, copyOutOverExec } from "../../provision/transfer.ts";

/** A refused address is refused in under a millisecond; what stays silent this long does not answer. */
const PROBE_TIMEOUT_MS = 1_000;

export function createGuest(parts: {
  readonly jail: HeldJail;
  readonly socketPath: string;
  /** Host folder behind the guest's read-only root: how the host writes the guest's /etc. */
  readonly rootDir: string;
  readonly env: Readonly<Record<string, string>>;
}): Guest {
  const client = createGuestClient(parts.socketPath);

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
      if (owner.user === "root") await writeBelowRoot(parts.rootDir, from, to);
      else await copyInOverExec(exec, from, to, owner);
    },
    copyOut: (from, to, leftOut) => copyOutOverExec(exec, from, to, leftOut),
    dial: (port) => client.dial(port),
    probe: (targets) => client.probe(targets, PROBE_TIMEOUT_MS),
    ended: parts.jail.ended,
  };
}

/** The guest cannot write here, so no link of its making can lie in the way. */
async function writeBelowRoot(rootDir: string, from: string, to: string): Promise<void> {
  if (!to.startsWith("/etc/") || to.split("/").includes("..")) {
    throw new Error(`only /etc of a namespace guest has files of root's: ${to}`);
  }
  const target = join(rootDir, to);
  const beside = `${target}.${randomBytes(4).toString("hex")}`;
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await cp(from, beside, { recursive: true });
  await rename(beside, target);
}
