/** From a machine's parts to a guest that answers. Loaded with the SSH library: who runs no micro-VM does without it. */
import { join } from "node:path";
import { GUEST, type Guest } from "../../contract/backend.ts";
import type { Scope } from "../../lib/scope.ts";
import { createGuest } from "./guest.ts";
import { makeIdentity } from "./identity.ts";
import type { Disk } from "./machine.ts";
import { goOn } from "./monitor.ts";
import type { PreparedMachine } from "./prepare-machine.ts";
import { introduce } from "./start.ts";
import { DISK_PLACES, openTemplate } from "./template.ts";
import { INCOMING_FD, startMachine } from "./virtual-machine.ts";

export interface GuestRequest {
  readonly id: string;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly machine: PreparedMachine;
  /** The guest's own first. */
  readonly disks: readonly Disk[];
  /** Places of the second disk's folders. */
  readonly mounts: readonly string[];
  readonly etc: Readonly<Record<string, string>>;
  readonly services: ReadonlyMap<number, () => string | undefined>;
  readonly processes: number;
  /** What the image wants for its programs, as `NAME=value`. */
  readonly imageEnv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/** What an image may lack: see guest/image.pl. */
const OWN_PATH = "/run/bottle/bin";

export async function bootGuest(request: GuestRequest, scope: Scope): Promise<Guest> {
  const { id, disks } = request;
  const { spec, template } = request.machine;
  const { identity, keys } = makeIdentity({ hostname: id, etc: request.etc, mounts: request.mounts });
  const from = template === undefined ? undefined : await openTemplate(template, scope);
  const machine = await startMachine(
    {
      id,
      rootDir: join(request.stateDir, "root"),
      runtimeDir: request.runtimeDir,
      spec: {
        ...spec,
        disks: [...disks, ...Array.from({ length: DISK_PLACES - disks.length }, () => "none" as const)],
      },
      ...(from && { memory: { fd: from.memory.fd, shared: false }, incoming: from.devices }),
    },
    scope,
  );
  if (from !== undefined) {
    await from.memory.ready;
    await goOn(machine.monitor, INCOMING_FD);
  }
  const { link, shell } = await introduce(
    machine,
    { identity, keys, services: request.services, hello: from === undefined },
    scope,
  );
  const imageEnv = environmentOf(request.imageEnv);
  return createGuest(
    {
      stateDir: request.stateDir,
      link,
      monitor: machine.monitor,
      ended: machine.ended,
      processes: request.processes,
      env: {
        HOME: GUEST.home,
        USER: GUEST.user,
        LOGNAME: GUEST.user,
        SHELL: shell,
        LANG: "C.UTF-8",
        ...imageEnv,
        PATH: `${imageEnv["PATH"] ?? SYSTEM_PATH}:${OWN_PATH}`,
        ...request.env,
      },
    },
    scope,
  );
}

function environmentOf(entries: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entries.map((entry) => {
      const end = entry.indexOf("=");
      return end < 0 ? [entry, ""] : [entry.slice(0, end), entry.slice(end + 1)];
    }),
  );
}
