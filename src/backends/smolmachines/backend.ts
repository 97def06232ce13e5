/**
 * Guests as libkrun micro-VMs, by the `smolvm` command. What a bottle has of it lies below its own state directory;
 * what the guest reaches is its bundle, by a way that depends on the release (way.ts), and is verified from inside.
 */
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { platform as hostPlatform } from "node:os";
import { basename, dirname, join } from "node:path";
import {
  type Backend,
  type BootOptions,
  GUEST,
  type Guest,
  type Link,
  type OwnedResource,
  type Prepared,
  type PrepareRequest,
  SERVICE_PORTS,
  type ServiceName,
} from "../../contract/backend.ts";
import type { ImageSource } from "../../contract/image.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import type { GuestClient } from "../../jail/guest-client.ts";
import { openLink } from "../../jail/inside-listeners.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { cacheOf, homeOf } from "../../lib/paths.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { imageWord } from "../../plan/image-word.ts";
import { takeAlias } from "./alias.ts";
import { prepareArtefact } from "./artefact.ts";
import { type Channel, openChannel } from "./channel.ts";
import { execCommand, type MachineSpec, stopCommand } from "./commands.ts";
import { createGuest } from "./guest.ts";
import { listMachines, MACHINE_PREFIX, type Machine, takeMachine } from "./machine.ts";
import { makeReady, programIn } from "./make-ready.ts";
import { lookForSmolvm, probeSmolmachines } from "./probe.ts";
import { type Found, findReached } from "./reach.ts";
import { startRelay } from "./relay.ts";
import { canOpenRoom, openRoom, type Room, watchOver } from "./room.ts";
import { type Call, callerIn, environmentIn, type Smolvm } from "./smolvm.ts";
import { openSockets, type ServedSocket, socketsFor } from "./sockets.ts";
import { makeStateFolder, STATE_NAME, type StateFolder, shortWays, stateFolderIn } from "./state-folder.ts";
import { correctRecord } from "./stored-record.ts";
import { terminalsOn } from "./terminal.ts";
import { type Way, wayFor } from "./way.ts";

/** Debian with node, git and a user `node`; taken when the bottle names none. */
const DEFAULT_IMAGE: ImageSource = {
  kind: "registry",
  host: "docker.io",
  repository: "library/node",
  tag: "22-bookworm",
};
const MIB = 1024 ** 2;

interface SmolmachinesPrepared extends Prepared {
  readonly smolvm: Smolvm;
  readonly image: string;
  /** Its `.smolmachine`. */
  readonly file: string;
  readonly tools: readonly PlannedMount[];
}

interface SmolmachinesLink extends Link {
  readonly id: string;
  readonly way: Way;
  readonly alias: string | undefined;
  readonly room: Room | undefined;
  readonly sockets: readonly ServedSocket[];
  readonly folder: StateFolder;
  readonly runtimeDir: string;
}

export interface SmolmachinesHost {
  /** False: as if there were no network namespaces here. */
  readonly rooms?: boolean;
}

export function createSmolmachinesBackend(host: SmolmachinesHost = {}): Backend {
  return {
    name: "smolmachines",
    takesImages: true,
    probe: probeSmolmachines,

    async prepare(request: PrepareRequest, progress): Promise<SmolmachinesPrepared> {
      const found = await lookForSmolvm();
      if ("lack" in found)
        throw new UserError(`smolmachines lacks ${found.lack.what}`, { hint: found.lack.remedy });
      const { smolvm } = found;
      const source = request.plan.image ?? DEFAULT_IMAGE;
      const { path } = await prepareArtefact({ smolvm, source, cache: cacheOf(), progress });
      const image = imageWord(source);
      return { backend: "smolmachines", smolvm, image, file: path, tools: request.tools };
    },

    async reserve(prepared, request, scope): Promise<SmolmachinesLink> {
      const { smolvm } = prepared as SmolmachinesPrepared;
      const { id, runtimeDir, services } = request;
      const folder = await makeStateFolder(request.stateDir, scope);
      const roomy = host.rooms !== false && hostPlatform() === "linux" && (await canOpenRoom());
      const way = wayFor(smolvm, roomy);
      const stop = [smolvm.path, ...stopCommand(machineName(id))];
      const env = environmentIn(folder.short, smolvm.traits);
      const room = roomy ? await openRoom(stop, env, scope) : undefined;
      if (room === undefined) await watchOver(stop, env, scope);
      const common = { id, way, room, folder, runtimeDir };
      switch (way.kind) {
        case "sockets": {
          const sockets = socketsFor(services, runtimeDir);
          const endpoints = await openSockets(sockets, scope);
          return { ...common, endpoints, needsBearer: false, sockets, alias: undefined };
        }
        case "room": {
          if (room === undefined) throw new Error("a way through a room, and no room");
          const place = { pid: room.pid, ownUser: room.ownUser, address: way.address };
          const link = openLink(place, services, scope);
          return { ...common, ...link, behindFilter: true, sockets: [], alias: undefined };
        }
        case "alias": {
          const alias = await takeAlias(scope);
          return {
            ...common,
            endpoints: endpointsOn(alias, services),
            needsBearer: true,
            behindFilter: true,
            sockets: [],
            alias,
          };
        }
      }
    },

    async boot(prepared, link, options: BootOptions, scope): Promise<Guest> {
      return bootMachine(prepared as SmolmachinesPrepared, link as SmolmachinesLink, options, scope);
    },

    enumerate: enumerateMachines,
    remove: removeResource,
  };
}

export const smolmachinesBackend: Backend = createSmolmachinesBackend();

function machineName(id: string): string {
  return `${MACHINE_PREFIX}${id}`;
}

function endpointsOn(host: string, services: readonly ServiceName[]): Link["endpoints"] {
  return Object.fromEntries(
    services.map((name) => {
      const port = SERVICE_PORTS[name].main;
      return [name, { listen: { kind: "tcp" as const, host, port }, guestUrl: `http://${host}:${port}` }];
    }),
  );
}

/** Ranges that the machine's own filter is to let through. */
function allowed(link: SmolmachinesLink): readonly string[] {
  const { way, alias } = link;
  switch (way.kind) {
    case "sockets":
      return [];
    case "room":
      return way.allow;
    case "alias":
      return [`${alias}/32`];
  }
}

function specOf(prepared: SmolmachinesPrepared, link: SmolmachinesLink, { plan }: BootOptions): MachineSpec {
  const { cpus, memoryBytes } = plan.resources;
  return {
    name: machineName(link.id),
    from: prepared.file,
    network:
      link.way.kind === "sockets"
        ? { kind: "none", sockets: link.sockets }
        : { kind: "net", allow: allowed(link) },
    ...(cpus !== undefined && { cpus: Math.max(1, Math.ceil(cpus)) }),
    ...(memoryBytes !== undefined && { memoryMiB: Math.max(256, Math.floor(memoryBytes / MIB)) }),
  };
}

async function bootMachine(
  prepared: SmolmachinesPrepared,
  link: SmolmachinesLink,
  options: BootOptions,
  scope: Scope,
): Promise<Guest> {
  const { smolvm } = prepared;
  const { folder, room } = link;
  const call = callerIn(smolvm, folder.short);
  const env = environmentIn(folder.short, smolvm.traits);
  const machine = await takeMachine({
    ...{ smolvm, call, room, folder: folder.path },
    spec: specOf(prepared, link, options),
  });
  scope.defer("the machine", () => machine.stop());
  const request = { prepared, link, options, machine, call, env };

  // What is opened in a machine that has to be started again goes first.
  let life = createScope();
  scope.defer("the guest", () => life.close());
  let guest = await enter(request, life);
  const found = await findReached(guest.channel.client, link.alias);
  if (found.length > 0) {
    await life.close();
    await machine.stop();
    await mend(request, found);
    life = createScope();
    guest = await enter(request, life);
    const still = await findReached(guest.channel.client, link.alias);
    if (still.length > 0)
      throw notIsolated(smolvm, still, "its stored record was corrected, and that changed nothing");
  }
  await machine.markReady();
  return guest.guest;
}

interface BootRequest {
  readonly prepared: SmolmachinesPrepared;
  readonly link: SmolmachinesLink;
  readonly options: BootOptions;
  readonly machine: Machine;
  readonly call: Call;
  readonly env: Readonly<Record<string, string>>;
}

/** Starts the machine and goes in. */
async function enter(
  { prepared, link, options, machine, call, env }: BootRequest,
  scope: Scope,
): Promise<{ readonly guest: Guest; readonly channel: Channel }> {
  const { smolvm, image, tools } = prepared;
  const { plan } = options;
  await machine.start();
  const places = await makeReady({
    ...{
      smolvm,
      call,
      machine: machine.name,
      image,
      scratchDir: link.folder.path,
      firstLife: machine.firstLife,
    },
    hostname: link.id,
    brought: [...tools, ...plan.mounts],
    directHosts: link.endpoints.egress?.listen.kind === "inherited" ? directHosts(plan.routes) : [],
    directAddress: link.way.kind === "room" ? link.way.address : "127.0.0.1",
  });
  const inGuest = (argv: readonly [string, ...string[]], how: { input?: boolean; terminal?: boolean }) =>
    [smolvm.path, ...execCommand(machine.name, argv, how)] as [string, ...string[]];
  if (link.sockets.length > 0) {
    const words = link.sockets.map(({ port, guest }) => `${port}=${guest}`);
    await startRelay(inGuest([places.node, programIn("guest-relay"), ...words], { input: true }), env, scope);
  }
  const openTerminal = await terminalsOn(join(link.runtimeDir, "terminals.sock"), env, scope);

  const channelAs = (user: "agent" | "root"): Promise<Channel> => {
    const limit = `--nproc=${plan.resources.pids}:${plan.resources.pids}`;
    const own: readonly string[] =
      user === "root" ? [] : [places.runuser, "-u", GUEST.user, "--", "prlimit", limit, "--"];
    const home = user === "root" ? "/root" : GUEST.home;
    const clean = ["env", "-i", `HOME=${home}`, `PATH=${places.path}`, "LANG=C.UTF-8"];
    const program = (name: "guest-channel" | "guest-seat", ...rest: string[]): [string, ...string[]] =>
      [...own, ...clean, places.node, programIn(name), ...rest] as unknown as [string, ...string[]];
    const open = (): Promise<Channel> =>
      openChannel(
        {
          argv: inGuest(program("guest-channel"), { input: true }),
          env,
          client: (socket) => ({
            openTerminal: (token) =>
              openTerminal(token, inGuest(program("guest-seat", socket, token), { terminal: true })),
          }),
        },
        scope,
      );
    return open();
  };
  const channel = await channelAs("agent");
  let root: Promise<GuestClient> | undefined;
  const guest = createGuest({
    client: channel.client,
    root: () => {
      root ??= channelAs("root").then(({ client }) => client);
      return root;
    },
    ended: channel.ended,
    env: {
      HOME: GUEST.home,
      USER: GUEST.user,
      LOGNAME: GUEST.user,
      SHELL: places.shell,
      LANG: "C.UTF-8",
      PATH: places.path,
      ...options.env,
    },
  });
  let over = false;
  scope.defer("the guest's watch", () => {
    over = true;
  });
  // One without its channel is of no use to anybody.
  channel.ended.then(
    () => (over ? undefined : machine.stop().catch(() => {})),
    () => {},
  );
  return { guest, channel };
}

/** @throws UserError unless what was found comes from a record that is known to be correctable, and was. */
async function mend({ prepared, link, machine }: BootRequest, found: readonly Found[]): Promise<void> {
  const { smolvm } = prepared;
  const forgotten = found.every(({ target }) => !isServiceOfHost(target, link));
  if (!smolvm.traits.correctable || link.alias === undefined || !forgotten)
    throw notIsolated(smolvm, found, "nothing is known to correct that");
  const correction = await correctRecord(link.folder.path, machine.name, allowed(link));
  if (!correction.done) throw notIsolated(smolvm, found, correction.reason);
}

/** What an address of the bottle's own answers, its filter would let through in any case. */
function isServiceOfHost({ host }: Found["target"], { alias }: SmolmachinesLink): boolean {
  return host === alias;
}

function notIsolated(smolvm: Smolvm, found: readonly Found[], why: string): UserError {
  const lines = found.map(
    ({ target, hole, what }) => `${target.transport} ${target.host}:${target.port} (${what}; hole ${hole})`,
  );
  return new UserError(
    `smolvm ${smolvm.text} lets the guest reach what it must not, and ${why}:\n  ${lines.join("\n  ")}`,
    { hint: "use smolvm 1.9 or newer, whose machines need no network; docs/smolmachines.md has the holes" },
  );
}

/** Machines that run, and short ways to their folders, of this operator's home. */
async function enumerateMachines(): Promise<readonly OwnedResource[]> {
  const found: OwnedResource[] = [];
  const { state } = homeOf();
  for (const { short, path } of await shortWays()) {
    if (basename(path) === STATE_NAME && dirname(dirname(path)) === state)
      found.push({
        backend: "smolmachines",
        bottle: basename(dirname(path)),
        kind: "short way",
        name: short,
      });
  }
  const ids = await readdir(state).catch(() => []);
  const used = ids.filter((id) => existsSync(join(state, id, STATE_NAME)));
  if (used.length === 0) return found;
  const smolvm = await lookForSmolvm();
  if ("lack" in smolvm) return found;
  for (const id of used) {
    const call = callerIn(smolvm.smolvm, wayTo(join(state, id)));
    for (const { name, state: what } of await listMachines(call)) {
      if (what === "running" || what === "unreachable")
        found.push({ backend: "smolmachines", bottle: id, kind: "machine", name });
    }
  }
  // A machine is stopped while its folder can still be found.
  return found.sort((a, b) => a.kind.localeCompare(b.kind));
}

function wayTo(stateDir: string): string {
  const { short, path } = stateFolderIn(stateDir);
  return existsSync(short) ? short : path;
}

async function removeResource({ kind, name, bottle }: OwnedResource): Promise<void> {
  if (kind === "short way") {
    await rm(name, { force: true });
    return;
  }
  const found = await lookForSmolvm();
  if ("lack" in found)
    throw new UserError(`${name} cannot be stopped without ${found.lack.what}`, { hint: found.lack.remedy });
  const call = callerIn(found.smolvm, wayTo(join(homeOf().state, bottle)));
  await call(stopCommand(name), { timeoutMs: 60_000 }).catch((error: unknown) => {
    if (codeOf(error) !== undefined) throw error;
  });
}
