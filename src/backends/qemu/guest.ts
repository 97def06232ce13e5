/** A running `qemu` guest: programs and files over its link, and the machine itself stopped and let go on. */

import { setTimeout as pause } from "node:timers/promises";
import { type ExecOptions, type Execution, GUEST, type Guest } from "../../contract/backend.ts";
import { createGuestClient } from "../../jail/guest-client.ts";
import { UserError } from "../../lib/errors.ts";
import type { Scope } from "../../lib/scope.ts";
import { copyInOverExec, copyOutOverExec } from "../../provision/transfer.ts";
import type { Monitor } from "./monitor.ts";
import type { SshLink } from "./ssh-link.ts";

/** The kernel refuses in milliseconds. Silence fails the launch, so an emulated processor gets time to be heard. */
const PROBE_TIMEOUT_MS = 5_000;

/** A build's worth of writing, on a slow disk. */
const FLUSH_MS = 10_000;

const ROOT_ENV = { HOME: "/root", USER: "root", LOGNAME: "root" } as const;

export interface GuestParts {
  readonly link: SshLink;
  readonly monitor: Monitor;
  readonly ended: Promise<string>;
  readonly env: Readonly<Record<string, string>>;
  /** Processes and threads that the agent may have at once. */
  readonly processes: number;
}

export function createGuest({ link, monitor, ended, env, processes }: GuestParts, scope: Scope): Guest {
  let frozen = false;
  const refuseFrozen = (): void => {
    if (frozen) throw new UserError("the bottle is frozen", { hint: "let it go on first: bottle thaw" });
  };
  const client = createGuestClient(({ allowHalfOpen }) => link.command(allowHalfOpen));
  scope.defer("guest's disk", async () => {
    // Stopped or hostile, it does not answer: what it did not write then, it loses.
    if (!frozen)
      await Promise.race([client.flush().catch(() => {}), ended, pause(FLUSH_MS, undefined, { ref: false })]);
  });

  const exec = async (
    argv: readonly [string, ...string[]],
    options: ExecOptions = {},
  ): Promise<Execution> => {
    refuseFrozen();
    const { user = "agent", ...rest } = options;
    return client.exec(argv, {
      ...rest,
      user,
      ...(user === "agent" && { processes }),
      cwd: options.cwd ?? GUEST.home,
      env: {
        ...env,
        ...(user === "root" && ROOT_ENV),
        ...(options.tty && { TERM: "xterm-256color" }),
        ...options.env,
      },
    });
  };

  return {
    exec,
    copyIn: (from, to, owner) => copyInOverExec(exec, from, to, owner),
    copyOut: (from, to, leftOut) => copyOutOverExec(exec, from, to, leftOut),
    dial: async (port) => {
      refuseFrozen();
      return link.dial(port);
    },
    probe: (targets) => client.probe(targets, PROBE_TIMEOUT_MS),
    freezer: {
      async freeze() {
        frozen = true;
        await monitor.run("stop");
      },
      async thaw() {
        await monitor.run("cont");
        frozen = false;
      },
    },
    ended,
  };
}
