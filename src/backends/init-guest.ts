/** A guest that our own init serves, whatever carries its streams; how root's files get in is the backend's to say. */
import { type ExecOptions, type Execution, GUEST, type Guest } from "../contract/backend.ts";
import type { Freezer } from "../jail/freezer.ts";
import type { GuestClient } from "../jail/guest-client.ts";
import { UserError } from "../lib/errors.ts";
import { copyInOverExec, copyOutOverExec } from "../provision/transfer.ts";

/** The kernel refuses in under a millisecond. Silence fails the launch, so a busy host gets time to be heard. */
const PROBE_TIMEOUT_MS = 3_000;

export function createInitGuest(parts: {
  readonly client: GuestClient;
  readonly ended: Promise<string>;
  readonly freezer?: Freezer;
  /** Puts the host's file or folder `from` at the guest path `to`, as root's. */
  readonly copyInAsRoot: (from: string, to: string, mode: number | undefined) => Promise<void>;
  readonly env: Readonly<Record<string, string>>;
}): Guest {
  const { client } = parts;

  const exec = async (
    argv: readonly [string, ...string[]],
    options: ExecOptions = {},
  ): Promise<Execution> => {
    if (options.user === "root") {
      throw new UserError("this bottle has no root user", { hint: "run it without --user root" });
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
      if (owner.user === "root") await parts.copyInAsRoot(from, to, owner.mode);
      else await copyInOverExec(exec, from, to, owner);
    },
    copyOut: (from, to, leftOut) => copyOutOverExec(exec, from, to, leftOut),
    dial: (port) => client.dial(port),
    probe: (targets) => client.probe(targets, PROBE_TIMEOUT_MS),
    ...(parts.freezer && { freezer: parts.freezer }),
    ended: parts.ended,
  };
}
