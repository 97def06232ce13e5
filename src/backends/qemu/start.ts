/** From a machine to a guest that answers: one way, whether it was booted or goes on from a template. */
import { setTimeout as pause } from "node:timers/promises";
import * as z from "zod";
import { readFirstLine } from "../../lib/first-line.ts";
import { writeJsonLine } from "../../lib/json-lines.ts";
import { printable } from "../../lib/printable.ts";
import type { Scope } from "../../lib/scope.ts";
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

/** The disk is mounted meanwhile; one of a guest that was killed is repaired first. */
const READY_TIMEOUT_MS = 60_000;
const MAX_READY_BYTES = 4096;

const readySchema = z.union([
  z.strictObject({ shell: z.enum(["/bin/bash", "/bin/sh"]) }),
  z.strictObject({ error: z.string() }),
]);

/** The agent's shell, once the guest is in its image. @throws Error with the guest's reason when it cannot be. */
async function shellOf(link: SshLink): Promise<string> {
  const stream = link.command(false);
  const timer = setTimeout(
    () => stream.destroy(new Error(`the guest is not ready within ${READY_TIMEOUT_MS / 1000} s`)),
    READY_TIMEOUT_MS,
  );
  try {
    await writeJsonLine(stream, { kind: "ready" });
    const said = readySchema.parse(JSON.parse(await readFirstLine(stream, MAX_READY_BYTES)));
    if ("error" in said) throw new Error(`the guest could not start: ${printable(said.error)}`);
    return said.shell;
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}
