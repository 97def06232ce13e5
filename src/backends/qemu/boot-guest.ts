/** From a machine's parts to a guest that answers. Loaded with the SSH library: who runs no micro-VM does without it. */
import type { Socket } from "node:net";
import { join } from "node:path";
import { GUEST, type Guest, type Progress } from "../../contract/backend.ts";
import { messageOf } from "../../lib/errors.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { createGuest } from "./guest.ts";
import { type GuestKeys, makeIdentity } from "./identity.ts";
import type { Disk } from "./machine.ts";
import { goOn } from "./monitor.ts";
import type { PreparedMachine } from "./prepare-machine.ts";
import { introduce, openLink } from "./start.ts";
import { DISK_PLACES, forgetTemplate, type OpenTemplate, openTemplate } from "./template.ts";
import { INCOMING_FD, startMachine, type VirtualMachine } from "./virtual-machine.ts";

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
  readonly progress?: Progress;
}

const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/** What an image may lack: see guest/image.pl. */
const OWN_PATH = "/run/bottle/bin";

export async function bootGuest(request: GuestRequest, scope: Scope): Promise<Guest> {
  const { machine, port, keys } = await wake(request, scope);
  const { link, shell } = await openLink(machine, { port, keys, services: request.services }, scope);
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

interface Awake {
  readonly machine: VirtualMachine;
  readonly port: Socket;
  readonly keys: GuestKeys;
}

/** Goes on from the template; from one that cannot be gone on from nobody starts any more, and the guest boots. */
async function wake(request: GuestRequest, scope: Scope): Promise<Awake> {
  const { template } = request.machine;
  if (template === undefined) return start(request, undefined, scope);
  const attempt = createScope();
  scope.defer("machine", () => attempt.close());
  let isOver = false;
  // Undone first: a start that was given up is none that failed.
  scope.defer("start", () => {
    isOver = true;
  });
  try {
    return await start(request, await openTemplate(template, attempt), attempt);
  } catch (error) {
    if (isOver) throw error;
    await attempt.close();
    request.progress?.(
      `qemu: the booted machine that was kept does not go on, so this one boots: ${messageOf(error)}`,
    );
    await forgetTemplate(template);
    return start(request, undefined, scope);
  }
}

/** To where the guest knows who it is: so far it has had nothing of the bottle's but its name. */
async function start(request: GuestRequest, from: OpenTemplate | undefined, scope: Scope): Promise<Awake> {
  const { id, disks } = request;
  const { identity, keys } = makeIdentity({ hostname: id, etc: request.etc, mounts: request.mounts });
  const machine = await startMachine(
    {
      id,
      rootDir: join(request.stateDir, "root"),
      runtimeDir: request.runtimeDir,
      spec: {
        ...request.machine.spec,
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
  return { machine, port: await introduce(machine, identity, from === undefined, scope), keys };
}

function environmentOf(entries: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entries.map((entry) => {
      const end = entry.indexOf("=");
      return end < 0 ? [entry, ""] : [entry.slice(0, end), entry.slice(end + 1)];
    }),
  );
}
