/** A running `smolmachines` guest: its agent's channel, a channel of its root's for when that is asked for. */
import { type ExecOptions, type Execution, GUEST, type Guest } from "../../contract/backend.ts";
import type { GuestClient } from "../../jail/guest-client.ts";
import { runInGuest, runInGuestOk } from "../../provision/guest-command.ts";
import { copyInOverExec, copyOutOverExec } from "../../provision/transfer.ts";

/** Silence fails the launch, so a busy host gets time to be heard. */
const PROBE_TIMEOUT_MS = 3_000;

export function createGuest(parts: {
  readonly client: GuestClient;
  /** Opened when it is first wanted, once. */
  readonly root: () => Promise<GuestClient>;
  readonly ended: Promise<string>;
  readonly freezer: Required<Guest>["freezer"];
  readonly env: Readonly<Record<string, string>>;
}): Guest {
  const { client } = parts;
  const exec = async (
    argv: readonly [string, ...string[]],
    { user, ...options }: ExecOptions = {},
  ): Promise<Execution> => {
    const isRoot = user === "root";
    const who = isRoot ? await parts.root() : client;
    return who.exec(argv, {
      ...options,
      cwd: options.cwd ?? (isRoot ? "/" : GUEST.home),
      env: {
        ...parts.env,
        ...(isRoot && { HOME: "/root", USER: "root", LOGNAME: "root" }),
        ...(options.tty && { TERM: "xterm-256color" }),
        ...options.env,
      },
    });
  };
  return {
    exec,
    async copyIn(from, to, owner) {
      await copyInOverExec(exec, from, to, owner);
      // Whatever the operator's umask made of it: what is root's there is for everybody to read.
      if (owner.user === "root" && owner.mode === undefined)
        await runInGuestOk(exec, ["chmod", "-R", "a+rX,go-w", "--", to], { user: "root", cwd: "/" });
    },
    copyOut: (from, to, leftOut) => copyOutOverExec(exec, from, to, leftOut),
    dial: (port) => client.dial(port),
    probe: (targets) => client.probe(targets, PROBE_TIMEOUT_MS),
    ended: parts.ended,
    freezer: parts.freezer,
    flush: async () => void (await runInGuest(exec, ["sync"], { user: "root", cwd: "/" }).catch(() => {})),
  };
}
