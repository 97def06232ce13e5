/**
 * Guests as Linux namespaces on the host's kernel: no image, no engine, up in tens of milliseconds. The
 * kernel is shared, and the preflight says so.
 */
import { existsSync, lchownSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import type {
  Backend,
  BootOptions,
  Guest,
  Link,
  OwnedResource,
  Prepared,
  PrepareRequest,
} from "../../contract/backend.ts";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import { hostUidOf } from "../../jail/host-uid.ts";
import { type HeldJail, holdJail } from "../../jail/jail.ts";
import { seccompProgram } from "../../jail/seccomp.ts";
import { makeSkeleton } from "../../jail/skeleton.ts";
import { checkSocketPath } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import type { Scope } from "../../lib/scope.ts";
import { createGuest } from "./guest.ts";
import { findGroups, makeLimits, removeGroup } from "./limits.ts";
import { openLink } from "./link.ts";
import { findCommand, probeNamespaces } from "./probe.ts";
import { GUEST_INIT, layoutRoot } from "./root-layout.ts";

/** Each of /tmp and /dev/shm: enough for builds, and not the host's memory. */
const TMP_BYTES = 1024 ** 3;
/** Set-up and node's own start; seconds only on a machine in trouble. */
const BOOT_TIMEOUT_MS = 20_000;
const RESOURCE_PREFIX = "bot-bottle-";

interface NamespacePrepared extends Prepared {
  readonly tools: readonly PlannedMount[];
}

interface NamespaceLink extends Link {
  readonly jail: HeldJail;
  readonly rootDir: string;
  readonly path: string;
  readonly socketPath: string;
  readonly listener: Server;
}

export const namespaceBackend: Backend = {
  name: "namespace",
  probe: probeNamespaces,

  async prepare(request: PrepareRequest): Promise<NamespacePrepared> {
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
    scope.defer("guest root", () => removeTree(rootDir));
    const layout = layoutRoot({
      homeDir,
      hostname: id,
      tools: (prepared as NamespacePrepared).tools,
      mounts: plan.mounts,
    });
    const binds = await makeSkeleton({
      root: rootDir,
      user: { name: GUEST.user, uid: GUEST.uid, home: GUEST.home },
      hostname: id,
      etc: layout.etc,
      binds: layout.binds,
    });

    const socketPath = checkSocketPath(join(request.runtimeDir, "guest.sock"));
    const listener = await listenOn(socketPath, scope);
    const bubblewrap = findCommand("bwrap");
    const arch = process.arch;
    const filtered = bubblewrap !== undefined && (arch === "x64" || arch === "arm64");
    const limit = await makeLimits(`${RESOURCE_PREFIX}${id}`, plan.resources, scope);
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
      extraFds: [listeningFd(listener)],
      ...(filtered && { seccomp: { bubblewrap, program: seccompProgram(arch) } }),
    });
    scope.defer("guest", () => jail.kill());
    limit(jail.initPid);
    const link = openLink(jail.initPid, request.services, scope);
    return { ...link, jail, rootDir, path: layout.path, socketPath, listener };
  },

  async boot(_prepared, link, options: BootOptions, _scope): Promise<Guest> {
    const { jail, rootDir, path, socketPath, listener } = link as NamespaceLink;
    jail.enter();
    await ready(jail);
    // The guest has its copy. With ours closed, a guest that is gone refuses instead of leaving us waiting.
    listener.close();
    confirmConfinement(jail.initPid);
    return createGuest({
      jail,
      socketPath,
      rootDir,
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

  async enumerate(): Promise<readonly OwnedResource[]> {
    return findGroups((name) => name.startsWith(RESOURCE_PREFIX)).map((name) => ({
      backend: "namespace" as const,
      bottle: basename(name).slice(RESOURCE_PREFIX.length),
      kind: "cgroup",
      name,
    }));
  },

  remove: (resource) => removeGroup(resource.name),
};

async function makeHome(homeDir: string, hostUid: number): Promise<void> {
  if ((await mkdir(homeDir, { recursive: true, mode: 0o755 })) === undefined) return;
  if (process.getuid?.() === 0) lchownSync(homeDir, hostUid, hostUid);
}

/** Closing a server removes the path it was bound to; under another name the socket stays, for the guest's copy. */
async function listenOn(path: string, scope: Scope): Promise<Server> {
  const server = createServer();
  const boundPath = `${path}~`;
  await removeTree(boundPath);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(boundPath, resolve);
  });
  scope.defer("guest socket", async () => {
    server.close();
    await removeTree(path);
  });
  await rename(boundPath, path);
  return server;
}

/** Node hands a listening socket to another program only by its number. */
function listeningFd(server: Server): number {
  const handle = (server as unknown as { readonly _handle?: { readonly fd?: number } })._handle;
  if (handle?.fd === undefined || handle.fd < 0)
    throw new Error("this Node does not tell a socket's descriptor");
  return handle.fd;
}

/** Waits for the init's word; when the init is gone later, so is the guest. */
async function ready(jail: HeldJail): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const failure = await new Promise<string | undefined>((resolve) => {
    timer = setTimeout(
      () => resolve(`the guest did not start within ${BOOT_TIMEOUT_MS} ms`),
      BOOT_TIMEOUT_MS,
    );
    const lines = createInterface({ input: jail.stdout });
    lines.on("line", (line) => line === "ready" && resolve(undefined));
    lines.on("close", () => void jail.kill());
    jail.ended.then(resolve, () => {});
  });
  clearTimeout(timer);
  if (failure !== undefined) throw new Error(failure);
}

/**
 * The kernel's own word that the guest is confined, read from the host before anything else runs in it (I7).
 * @throws Error naming what does not hold.
 */
function confirmConfinement(initPid: number): void {
  const status = new Map(
    readFileSync(`/proc/${initPid}/status`, "utf8")
      .split("\n")
      .map((line) => line.split(/:\s*/) as [string, string]),
  );
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    if (!/^0+$/.test(status.get(set) ?? ""))
      throw new Error(`the guest has capabilities: ${set} ${status.get(set)}`);
  }
  if (status.get("NoNewPrivs") !== "1") throw new Error("the guest may gain privileges");
  for (const kind of ["user", "mnt", "pid", "net", "ipc", "uts"]) {
    const theirs = readlinkSync(`/proc/${initPid}/ns/${kind}`);
    if (theirs === readlinkSync(`/proc/self/ns/${kind}`))
      throw new Error(`the guest shares the host's ${kind} namespace`);
  }
}
