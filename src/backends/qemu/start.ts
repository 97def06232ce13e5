/** From a machine to a guest that answers: one way, whether it was booted or goes on from a template. */
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Scope } from "../../lib/scope.ts";
import { shellOf } from "./command-server.ts";
import { HELLO_TIMEOUT_MS, synchronise, tellIdentity } from "./greeting.ts";
import type { GuestIdentity, GuestKeys } from "./identity.ts";
import { openSshLink, type SshLink } from "./ssh-link.ts";
import type { VirtualMachine } from "./virtual-machine.ts";

const LAST_WORDS_MS = 1_500;

export interface Started {
  readonly link: SshLink;
  readonly shell: string;
}

/**
 * Tells a machine who it is.
 * @param boots whether it does, instead of going on from a template: it hears that as soon as it has ears.
 * @returns its port, on which the next byte is an SSH server's.
 * @throws Error with the machine's last words when it ends meanwhile.
 */
export async function introduce(
  machine: VirtualMachine,
  identity: GuestIdentity,
  boots: boolean,
  scope: Scope,
): Promise<Socket> {
  const port = await machine.reach();
  port.on("error", () => {});
  scope.defer("link", () => void port.destroy());
  return unlessOver(machine, async () => {
    tellIdentity(port, identity);
    await (boots ? synchronise(port, HELLO_TIMEOUT_MS) : synchronise(port));
    return port;
  });
}

/** @throws Error with the machine's last words when it ends meanwhile, or with the guest's reason when it cannot start. */
export function openLink(
  machine: VirtualMachine,
  about: {
    readonly port: Socket;
    readonly keys: GuestKeys;
    readonly services: ReadonlyMap<number, () => string | undefined>;
  },
  scope: Scope,
): Promise<Started> {
  return unlessOver(machine, async () => {
    const link = await openSshLink({
      ...about,
      reach: () => machine.reach(),
      lost: () => void machine.kill(),
    });
    scope.defer("ssh", () => link.close());
    return { link, shell: await shellOf(link) };
  });
}

async function unlessOver<T>(machine: VirtualMachine, step: () => Promise<T>): Promise<T> {
  const over = machine.ended.then((reason) => {
    throw new Error(reason);
  });
  over.catch(() => {});
  try {
    return await Promise.race([step(), over]);
  } catch (error) {
    // Its end is heard on the port first, and told with its reason a moment later.
    await Promise.race([over, pause(LAST_WORDS_MS, undefined, { ref: false })]);
    throw error;
  }
}
