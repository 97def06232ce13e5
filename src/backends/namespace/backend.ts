/**
 * Guests as Linux namespaces on the host's kernel: no image, no engine, up in tens of milliseconds. The
 * kernel is shared, and the preflight says so.
 */
import { existsSync, lchownSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Backend, BootOptions, Guest, Link, Prepared, PrepareRequest } from "../../contract/backend.ts";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import { listenFor } from "../../jail/born-listener.ts";
import { createFreezer } from "../../jail/freezer.ts";
import { createGuestClient, type GuestClient, guestSocket } from "../../jail/guest-client.ts";
import { hostUidOf, isRoot } from "../../jail/host-uid.ts";
import { openLink } from "../../jail/inside-listeners.ts";
import { type HeldJail, holdJail } from "../../jail/jail.ts";
import { OPEN_FILES } from "../../jail/resource-limits.ts";
import { makeSkeleton } from "../../jail/skeleton.ts";
import { messageOf, UserError } from "../../lib/errors.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { createInitGuest } from "../init-guest.ts";
import { confirmConfinement } from "./confinement.ts";
import { makeLimits, removeGroup } from "./limits.ts";
import { placeMounts } from "./operator-mounts.ts";
import { enumerateGroups, groupName } from "./owned.ts";
import { findFilter, probeNamespaces } from "./probe.ts";
import { writeBelowRoot } from "./root-files.ts";
import { GUEST_INIT, layoutRoot } from "./root-layout.ts";

/** Each of /tmp and /dev/shm: enough for builds, and not the host's memory. */
const TMP_BYTES = 1024 ** 3;

interface NamespacePrepared extends Prepared {
  readonly tools: readonly PlannedMount[];
}

interface NamespaceLink extends Link {
  readonly jail: HeldJail;
  readonly rootDir: string;
  readonly path: string;
  readonly socketPath: string;
  /** A system-call filter was asked for. */
  readonly seccomp: boolean;
}

export const namespaceBackend: Backend = {
  name: "namespace",
  probe: probeNamespaces,

  async prepare(request: PrepareRequest): Promise<NamespacePrepared> {
    if (request.plan.image !== undefined || request.plan.resources.diskBytes !== undefined) {
      throw new UserError(
        "namespace shows its guests this host's own system: it takes no image and has no disk",
        {
          hint: "take image and resources.disk out of the bottle, or use a backend of virtual machines",
        },
      );
    }
    return { backend: "namespace", tools: request.tools };
  },

  async reserve(prepared, request, scope): Promise<NamespaceLink> {
    const { id, plan, stateDir } = request;
    const rootDir = join(stateDir, "root");
    const homeDir = join(stateDir, "home");
    const hostUid = hostUidOf(id, "guest");
    await makeHome(homeDir, hostUid);
    // Left from an earlier life of the same bottle: made again from what is true now.
    await removeTree(rootDir);
    const layout = layoutRoot({
      homeDir,
      hostname: id,
      tools: (prepared as NamespacePrepared).tools,
      mounts: placeMounts(plan.mounts, { homeDir, hostUid }),
      directHosts: directHosts(plan.routes),
    });
    const binds = await makeSkeleton({
      root: rootDir,
      user: { name: GUEST.user, uid: GUEST.uid, home: GUEST.home },
      hostname: id,
      etc: layout.etc,
      binds: layout.binds,
      links: layout.links,
      // Last, because a launch that was given up meanwhile is undone at once.
    }).finally(() => scope.defer("guest root", () => removeTree(rootDir)));

    const socketPath = join(request.runtimeDir, "guest.sock");
    const listener = await listenFor(socketPath, scope);
    const seccomp = findFilter();
    const limit = await makeLimits(groupName(id), plan.resources, scope);
    const jail = await holdJail({
      name: "the guest",
      binds,
      network: "own",
      hostname: id,
      hostUid,
      uid: GUEST.uid,
      cwd: GUEST.home,
      env: { HOME: GUEST.home },
      argv: [layout.node, "--max-old-space-size=128", GUEST_INIT],
      startsPrograms: true,
      tmpBytes: TMP_BYTES,
      extraFds: [listener.fd],
      pids: plan.resources.pids,
      openFiles: OPEN_FILES,
      ...(seccomp && { seccomp }),
    });
    scope.defer("guest", () => jail.kill());
    // The guest has its copy. With ours closed, a guest that is gone refuses instead of leaving us waiting.
    listener.close();
    await limit(jail.initPid);
    const link = openLink({ pid: jail.initPid, ownUser: true }, request.services, scope);
    return {
      ...link,
      jail,
      rootDir,
      path: layout.path,
      socketPath,
      seccomp: seccomp !== undefined,
    };
  },

  async boot(_prepared, link, options: BootOptions, _scope): Promise<Guest> {
    const { jail, rootDir, path, socketPath, seccomp } = link as NamespaceLink;
    const client = createGuestClient(guestSocket(socketPath));
    await start(jail, client);
    confirmConfinement(jail.initPid, { filtered: seccomp });
    return createInitGuest({
      client,
      ended: jail.ended,
      freezer: createFreezer(jail.initPid),
      copyInAsRoot: (from, to, mode) => writeBelowRoot(rootDir, from, to, mode),
      env: {
        HOME: GUEST.home,
        USER: GUEST.user,
        LOGNAME: GUEST.user,
        SHELL: existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh",
        LANG: "C.UTF-8",
        PATH: path,
        ...options.env,
      },
    });
  },

  enumerate: enumerateGroups,

  remove: (resource) => removeGroup(resource.name),
};

async function makeHome(homeDir: string, hostUid: number): Promise<void> {
  if ((await mkdir(homeDir, { recursive: true, mode: 0o755 })) === undefined) return;
  if (isRoot()) lchownSync(homeDir, hostUid, hostUid);
}

/** Starts the guest and waits for its init. When the init is gone, then or later, so is the guest. */
async function start(jail: HeldJail, client: GuestClient): Promise<void> {
  const end = (): void => void jail.kill();
  // Process 1 says something only when the init ended. What the guest itself may write there is not kept.
  jail.stdout.once("data", end).resume();
  jail.enter();
  try {
    const { gone } = await client.watch();
    void gone.then(end);
  } catch (error) {
    await jail.kill();
    throw new Error(`cannot start the guest: ${await jail.ended} (${messageOf(error)})`, { cause: error });
  }
}
