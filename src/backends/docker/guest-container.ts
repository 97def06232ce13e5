/**
 * The guest's container: no network at all, no capability, no way to gain one, and a root that cannot be written to.
 * Its link is a volume with the sidecars' sockets, mounted read-only. What the agent writes lies in a volume of its own,
 * and /etc in another that only root of the engine's could write to.
 *
 * Its first program is our init, on a Node that comes with it: an image needs no Node, no shell and no user of ours.
 */
import { writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { GUEST, type ServiceName } from "../../contract/backend.ts";
import type { BottlePlan, PlannedMount } from "../../contract/plan.ts";
import type { ContainerMount } from "../../engine/commands.ts";
import { createContainer, type Engine, getArchive, putArchive } from "../../engine/engine.ts";
import type { EngineImage } from "../../engine/images.ts";
import { packEntries } from "../../lib/archive/pack-tar.ts";
import { readTar } from "../../lib/archive/read-tar.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { nameFiles } from "../name-files.ts";
import { agentLine, groupWithAgent, passwdWithAgent } from "./agent-user.ts";
import { narrowedFilter } from "./guest-filter.ts";
import { LINK, linkSockets } from "./link.ts";
import { ownNode, RUNTIME, withoutStrange } from "./own-program.ts";

/** The volume's place: one above the agent's home, so that the home itself can be given to the agent. */
const HOMES = dirname(GUEST.home);
/** Each of /tmp, /var/tmp and /dev/shm: enough for builds, and not the host's memory. */
const TMP_BYTES = 1024 ** 3;
/** For pid files and sockets of what the agent starts. */
const RUN_BYTES = 16 * 1024 ** 2;

const MEMORY = [
  { type: "tmpfs", to: "/tmp", bytes: TMP_BYTES },
  { type: "tmpfs", to: "/var/tmp", bytes: TMP_BYTES },
  { type: "tmpfs", to: "/run", bytes: RUN_BYTES },
] as const;

/** In every image that has any. */
const SHELL = "/bin/sh";

/** Each is a volume to make and to remove; an image that a person made has one or two. */
const MAX_DECLARED = 16;

export interface GuestVolumes {
  readonly home: string;
  readonly etc: string;
  readonly runtime: string;
  /** Absent where no sidecar serves the guest. */
  readonly link?: string;
  /** For the places that the image declares as volumes. */
  readonly declared: readonly { readonly name: string; readonly to: string }[];
}

export interface GuestContainerRequest {
  readonly id: string;
  readonly name: string;
  readonly image: EngineImage;
  readonly runtime: string | undefined;
  /** Of the engine's own rules for system calls, where they can be read and let too much pass. */
  readonly filterFile: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly plan: BottlePlan;
  readonly tools: readonly PlannedMount[];
  readonly services: readonly ServiceName[];
  readonly volumes: GuestVolumes;
  readonly runtimeDir: string;
}

/**
 * Where the image declares volumes, less what the guest has there anyway. Left to the engine, they would have no name by
 * which to find them again. @throws UserError when there are too many, or one lies as deep as what is ours.
 */
export function declaredPlaces(
  { volumes }: EngineImage,
  { mounts }: BottlePlan,
  tools: readonly PlannedMount[],
): readonly string[] {
  const own = [
    ...MEMORY.map(({ to }) => to),
    "/etc",
    HOMES,
    RUNTIME,
    LINK,
    ...[...tools, ...mounts].map(({ to }) => to),
  ];
  const places = [...new Set(volumes.map((place) => posix.resolve("/", place)))].filter(
    (place) => !own.includes(place),
  );
  const deep = places.find((place) => depthOf(place) >= depthOf(RUNTIME));
  if (deep !== undefined)
    throw new UserError(
      `the image declares a volume in a deeper folder than a guest has: ${printable(deep)}`,
    );
  if (places.length <= MAX_DECLARED) return places;
  throw new UserError(`the image declares ${places.length} volumes, and a guest has ${MAX_DECLARED} at most`);
}

function depthOf(place: string): number {
  return place.split("/").length;
}

/** Makes it, with the agent's user in its /etc. Nothing of it runs. @throws UserError */
export async function makeGuestContainer(engine: Engine, request: GuestContainerRequest): Promise<void> {
  const { plan, volumes, runtimeDir, runtime } = request;
  const names = nameFiles({ hostname: request.id, directHosts: directHosts(plan.routes), ipv6: true });
  const put = async (name: string, text: string): Promise<string> => {
    const path = join(runtimeDir, name);
    await writeFile(path, text, { mode: 0o644 });
    return path;
  };
  const filter = runtime === undefined && request.filterFile;
  const bind = ({ from, to }: PlannedMount): ContainerMount => ({ type: "bind", from, to, writable: false });
  await createContainer(engine, {
    name: request.name,
    // By its id: what it is called may be another one by now.
    image: request.image.id,
    env: withoutStrange(request.image.env),
    labels: request.labels,
    network: { kind: "none" },
    hostname: request.id,
    user: `${GUEST.uid}:${GUEST.gid}`,
    passwdLine: agentLine(SHELL),
    pids: plan.resources.pids,
    shmBytes: TMP_BYTES,
    ...(runtime !== undefined && { runtime }),
    ...(filter && { filterFile: await put("filter.json", await narrowedFilter(filter)) }),
    ...(plan.resources.memoryBytes !== undefined && { memoryBytes: plan.resources.memoryBytes }),
    ...(plan.resources.cpus !== undefined && { cpus: plan.resources.cpus }),
    mounts: [
      ...MEMORY,
      { type: "volume", name: volumes.etc, to: "/etc", writable: true },
      { type: "volume", name: volumes.home, to: HOMES, writable: true },
      { type: "volume", name: volumes.runtime, to: RUNTIME, writable: false },
      ...volumes.declared.map(({ name, to }) => ({ type: "volume" as const, name, to, writable: true })),
      ...(volumes.link === undefined
        ? []
        : [{ type: "volume" as const, name: volumes.link, to: LINK, writable: false }]),
      // Engines write theirs from the host's own: podman's has every name that is in there.
      bind({ from: await put("hosts", names.hosts), to: "/etc/hosts" }),
      bind({ from: await put("resolv.conf", names["resolv.conf"]), to: "/etc/resolv.conf" }),
      ...request.tools.map(bind),
      ...plan.mounts.map(bind),
    ],
    argv: ownNode(
      "guest-init.mjs",
      "--stdio",
      ...linkSockets(request.services).map(({ port, path }) => `${port}=${path}`),
    ),
  });
  await putAgentUser(engine, request.name, names["nsswitch.conf"]);
}

async function putAgentUser(engine: Engine, container: string, nameSwitch: string): Promise<void> {
  const [passwd, group] = await Promise.all(
    ["/etc/passwd", "/etc/group"].map((path) => readFileOf(engine, container, path)),
  );
  const file = (name: string, text: string) =>
    ({ kind: "content", name: Buffer.from(name), content: Buffer.from(text), mode: 0o644 }) as const;
  await putArchive(
    engine,
    container,
    "/etc",
    await buffer(
      packEntries([
        file("passwd", passwdWithAgent(passwd ?? "root:x:0:0:root:/root:/bin/sh\n", SHELL)),
        file("group", groupWithAgent(group ?? "root:x:0:\n")),
        file("nsswitch.conf", nameSwitch),
      ]),
    ),
  );
  const home = [{ kind: "folder", name: Buffer.from(GUEST.user), mode: 0o755 }] as const;
  await putArchive(engine, container, HOMES, await buffer(packEntries(home, { owner: GUEST })));
}

async function readFileOf(engine: Engine, container: string, path: string): Promise<string | undefined> {
  const archive = await getArchive(engine, container, path);
  if (archive === undefined) return undefined;
  for await (const entry of readTar(Readable.from([archive]))) {
    return (await buffer(Readable.from(entry.body()))).toString("utf8");
  }
  return undefined;
}
