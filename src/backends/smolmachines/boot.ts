/**
 * A machine started, entered, and asked what it reaches (I7): nothing else is done in it before that. What it reaches
 * and must not is mended where that is known to work, and asked again; else it is stopped.
 */
import { join } from "node:path";
import { type BootOptions, GUEST, type Guest, type Prepared } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import type { GuestClient } from "../../jail/guest-client.ts";
import { UserError } from "../../lib/errors.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { type Channel, openChannel } from "./channel.ts";
import { execCommand, type MachineSpec } from "./commands.ts";
import { createGuest } from "./guest.ts";
import { allowed, type BundleImage, machineName, type SmolmachinesLink } from "./link.ts";
import { type Machine, takeMachine } from "./machine.ts";
import { makeReady, programIn } from "./make-ready.ts";
import { type Found, findReached, type OwnAddress } from "./reach.ts";
import { startRelay } from "./relay.ts";
import { type Call, callerIn, environmentIn, type Smolvm } from "./smolvm.ts";
import { correctRecord } from "./stored-record.ts";
import { terminalsOn } from "./terminal.ts";
import { createTurns } from "./turns.ts";

const MIB = 1024 ** 2;

export interface SmolmachinesPrepared extends Prepared {
  readonly smolvm: Smolvm;
  readonly image: string;
  /** Its `.smolmachine`. */
  readonly file: string;
  readonly tools: readonly PlannedMount[];
  /** Where the sidecars are in a container. */
  readonly contained: BundleImage | undefined;
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

export async function bootMachine(
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
    ...{ smolvm, call, room, folder },
    spec: specOf(prepared, link, options),
  });
  scope.defer("the machine", () => machine.stop());
  const request = { prepared, link, options, machine, call, env };

  // What is opened in a machine that has to be started again goes first.
  let life = createScope();
  scope.defer("the guest", () => life.close());
  let guest = await enter(request, life);
  const own = ownAddress(link);
  const found = await findReached(guest.channel.client, own, options.plan.hostServices);
  if (found.length > 0) {
    await life.close();
    await machine.stop();
    await mend(request, found);
    life = createScope();
    guest = await enter(request, life);
    const still = await findReached(guest.channel.client, own, options.plan.hostServices);
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
  const inTurn = createTurns();
  const openTerminal = await terminalsOn(join(link.runtimeDir, "terminals.sock"), env, inTurn, scope);

  const channelAs = (user: "agent" | "root"): Promise<Channel> => {
    const limit = `--nproc=${plan.resources.pids}:${plan.resources.pids}`;
    const own: readonly string[] =
      user === "root" ? [] : [places.runuser, "-u", GUEST.user, "--", "prlimit", limit, "--"];
    const home = user === "root" ? "/root" : GUEST.home;
    const clean = ["env", "-i", `HOME=${home}`, `PATH=${places.path}`, "LANG=C.UTF-8"];
    const program = (name: "guest-channel" | "guest-seat", ...rest: string[]): [string, ...string[]] =>
      [...own, ...clean, places.node, programIn(name), ...rest] as unknown as [string, ...string[]];
    return inTurn(() =>
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
      ),
    );
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
    freezer: machine.freezer,
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

function ownAddress({ alias, endpoints }: SmolmachinesLink): OwnAddress | undefined {
  if (alias === undefined) return undefined;
  return { alias, ports: Object.values(endpoints).map(({ guestUrl }) => Number(new URL(guestUrl).port)) };
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
