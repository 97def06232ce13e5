/** From a machine to a guest that answers: one way, whether it was booted or goes on from a template. */
import { setTimeout as pause } from "node:timers/promises";
import type { Scope } from "../../lib/scope.ts";
import { shellOf } from "./command-server.ts";
import { awaitHello, synchronise, tellIdentity } from "./greeting.ts";
import type { GuestIdentity, GuestKeys } from "./identity.ts";
import { openSshLink, type SshLink } from "./ssh-link.ts";
import type { VirtualMachine } from "./virtual-machine.ts";

const LAST_WORDS_MS = 1_500;

export interface Started {
  readonly link: SshLink;
  readonly shell: string;
}

/**
 * @param hello whether the guest is still to say it: one that goes on from a template has said it there.
 * @throws Error with the machine's last words when it ends meanwhile.
 */
export async function introduce(
  machine: VirtualMachine,
  about: {
    readonly identity: GuestIdentity;
    readonly keys: GuestKeys;
    readonly services: ReadonlyMap<number, () => string | undefined>;
    readonly hello: boolean;
  },
  scope: Scope,
): Promise<Started> {
  const port = await machine.reach();
  port.on("error", () => {});
  scope.defer("link", () => void port.destroy());
  const over = machine.ended.then((reason) => {
    throw new Error(reason);
  });
  over.catch(() => {});
  const whole = async (): Promise<Started> => {
    if (about.hello) await awaitHello(port);
    tellIdentity(port, about.identity);
    await synchronise(port);
    const link = await openSshLink({
      port,
      reach: () => machine.reach(),
      keys: about.keys,
      services: about.services,
      lost: () => void machine.kill(),
    });
    scope.defer("ssh", () => link.close());
    return { link, shell: await shellOf(link) };
  };
  try {
    return await Promise.race([whole(), over]);
  } catch (error) {
    // Its end is heard on the port first, and told with its reason a moment later.
    await Promise.race([over, pause(LAST_WORDS_MS, undefined, { ref: false })]);
    throw error;
  }
}
