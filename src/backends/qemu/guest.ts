/** A running `qemu` guest: programs and files over its link, and the machine itself stopped and let go on. */

import { setTimeout as pause } from "node:timers/promises";
import { type ExecOptions, type Execution, GUEST, type Guest } from "../../contract/backend.ts";
import { createGuestClient } from "../../jail/guest-client.ts";
import { UserError } from "../../lib/errors.ts";
import type { Scope } from "../../lib/scope.ts";
import { copyInOverExec, copyOutOverExec } from "../../provision/transfer.ts";
import { setClock } from "./command-server.ts";
import { forkDisk } from "./disk.ts";
import type { Monitor } from "./monitor.ts";
import type { SshLink } from "./ssh-link.ts";

/** The kernel refuses in milliseconds. Silence fails the launch, so an emulated processor gets time to be heard. */
const PROBE_TIMEOUT_MS = 5_000;

/** A build's worth of writing, on a slow disk. */
const FLUSH_MS = 10_000;

const ROOT_ENV = { HOME: "/root", USER: "root", LOGNAME: "root" } as const;

export interface GuestParts {
  /** Where its disk is. */
  readonly stateDir: string;
  readonly link: SshLink;
  readonly monitor: Monitor;
  readonly ended: Promise<string>;
  readonly env: Readonly<Record<string, string>>;
  /** Processes and threads that the agent may have at once. */
  readonly processes: number;
}

export function createGuest(
  { stateDir, link, monitor, ended, env, processes }: GuestParts,
  scope: Scope,
): Guest {
  let frozen = false;
  // What stops the machine or lets it go on, one after the other: a copy of a disk that is written to is none.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(step: () => Promise<T>): Promise<T> => {
    const turn = last.then(step, step);
    last = turn.catch(() => {});
    return turn;
  };
  const goOn = async (): Promise<void> => {
    await monitor.run("cont");
    // It stood still with the machine. A guest that will not be told the time is the only one that suffers for it.
    await setClock(link).catch(() => {});
  };
  const refuseFrozen = (): void => {
    if (frozen) throw new UserError("the bottle is frozen", { hint: "let it go on first: bottle thaw" });
  };
  const client = createGuestClient(({ allowHalfOpen }) => link.command(allowHalfOpen));
  // Stopped or hostile, it does not answer: what it did not write then, it loses.
  const flush = async (): Promise<void> => {
    if (!frozen)
      await Promise.race([client.flush().catch(() => {}), ended, pause(FLUSH_MS, undefined, { ref: false })]);
  };
  scope.defer("guest's disk", flush);

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
      freeze: () =>
        inTurn(async () => {
          frozen = true;
          await monitor.run("stop");
        }),
      thaw: () =>
        inTurn(async () => {
          await goOn();
          frozen = false;
        }),
    },
    copyDisk: ([first, ...others]) =>
      inTurn(async () => {
        if (first === undefined) return;
        await flush();
        // With the machine, QEMU's own changes of the file are written too.
        if (!frozen) await monitor.run("stop");
        try {
          await forkDisk(stateDir, first);
        } finally {
          if (!frozen) await goOn();
        }
        for (const each of others) await forkDisk(first, each);
      }),
    flush,
    ended,
  };
}
