/**
 * Guests as containers of a docker-compatible engine: the kernel is shared, unless gVisor is registered. The agent's
 * container has no network; the sidecars are in another, and a volume of Unix sockets is all that both have.
 */

import { openContainedBundle } from "../../bundle/contained-bundle.ts";
import {
  ensureAgentImage,
  ensureSidecarsImage,
  refuseWithoutPipelock,
} from "../../bundle/container-image.ts";
import type {
  Backend,
  BootOptions,
  Guest,
  Link,
  Prepared,
  PrepareRequest,
  Progress,
  ReserveRequest,
} from "../../contract/backend.ts";
import { GUEST } from "../../contract/backend.ts";
import type { BottlePlan, PlannedMount } from "../../contract/plan.ts";
import {
  type Engine,
  ensureVolume,
  findEngine,
  pauseContainer,
  removeContainer,
  removeNetwork,
  removeVolume,
  startContainer,
} from "../../engine/engine.ts";
import { type EngineImage, findImage } from "../../engine/images.ts";
import { bottleLabels } from "../../engine/labels.ts";
import { putIntoEngine } from "../../image/into-engine.ts";
import { createGuestClient } from "../../jail/guest-client.ts";
import { messageOf, UserError } from "../../lib/errors.ts";
import { createMux } from "../../lib/mux.ts";
import { cacheOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { exited } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";
import { imageWord } from "../../plan/image-word.ts";
import { createInitGuest } from "../init-guest.ts";
import { declaredPlaces, type GuestVolumes, makeGuestContainer } from "./guest-container.ts";
import { refuseUnfit } from "./image-fit.ts";
import { LINK, openLink } from "./link.ts";
import { enumerateOfEngine, PREFIX } from "./owned.ts";
import { probeEngine, strongestGuest } from "./probe.ts";
import { putBelowEtc } from "./root-files.ts";
import { ensureRuntimeVolume, sweepMakers } from "./runtime-volume.ts";

const STDERR_TAIL_CHARACTERS = 1_000;
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

interface DockerPrepared extends Prepared {
  readonly engine: Engine;
  readonly tools: readonly PlannedMount[];
  readonly sidecars: string;
  readonly image: EngineImage;
  /** Name of the volume with the guest's first program. */
  readonly runtimeVolume: string;
  /** The engine's own when undefined. */
  readonly runtime: string | undefined;
  readonly filterFile: string | undefined;
}

interface DockerLink extends Link {
  readonly request: ReserveRequest;
  readonly volumes: GuestVolumes;
}

export const dockerBackend: Backend = {
  name: "docker",
  takesImages: true,
  sidecarsIn: ["container"],
  probe: probeEngine,

  async prepare(request: PrepareRequest, progress): Promise<DockerPrepared> {
    const engine = theEngine();
    const { runtime, filterFile } = await strongestGuest(engine);
    const sidecars = await ensureSidecarsImage(engine, progress);
    if (request.plan.pipelock) await refuseWithoutPipelock(engine, sidecars);
    const image = await imageFor(engine, request.plan, progress);
    const runtimeVolume = await ensureRuntimeVolume(engine, sidecars);
    const { tools } = request;
    return { backend: "docker", engine, tools, sidecars, image, runtimeVolume, runtime, filterFile };
  },

  async reserve(prepared, request, scope): Promise<DockerLink> {
    const { engine, sidecars, runtimeVolume, image, tools } = prepared as DockerPrepared;
    const { id, services } = request;
    const labels = bottleLabels(id);
    const volume = async (role: string, keep: () => boolean): Promise<string> => {
      const name = `${PREFIX}${id}-${role}`;
      scope.defer(`volume ${name}`, async () => {
        if (!keep()) await removeVolume(engine, name);
      });
      await ensureVolume(engine, name, labels);
      return name;
    };
    const never = (): boolean => false;
    const keepsDisk = (): boolean => request.keepsDisk?.() === true;
    const home = await volume("home", keepsDisk);
    const etc = await volume("etc", never);
    const places = declaredPlaces(image, request.plan, tools);
    const declared: { name: string; to: string }[] = [];
    // What an image declares so is to outlive whatever runs of it.
    for (const [i, to] of places.entries())
      declared.push({ name: await volume(`image${i + 1}`, keepsDisk), to });
    const volumes = { home, etc, runtime: runtimeVolume, declared };
    if (services.length === 0) return { endpoints: {}, needsBearer: false, request, volumes };

    const link = await volume("link", never);
    const mounts = [{ type: "volume", name: link, to: LINK, writable: true }] as const;
    const bundle = await openContainedBundle(engine, sidecars, request, { mounts }, scope);
    // gVisor's own network says no in words of its own: that somebody is there, where nobody is.
    const { runtime } = prepared as DockerPrepared;
    const behindFilter = runtime === undefined ? {} : { behindFilter: true as const };
    return { ...openLink(bundle, services), ...behindFilter, request, volumes: { ...volumes, link } };
  },

  async boot(prepared, link, options: BootOptions, scope): Promise<Guest> {
    const { engine, image, runtime, filterFile, tools } = prepared as DockerPrepared;
    const { request, volumes } = link as DockerLink;
    const { id, plan, services, runtimeDir } = request;
    const name = `${PREFIX}${id}-guest`;
    scope.defer("guest", () => removeContainer(engine, name));
    const labels = bottleLabels(id);
    await makeGuestContainer(engine, {
      ...{ id, name, image, runtime, filterFile, labels, plan, tools, services, volumes, runtimeDir },
    });
    const { client, ended } = await startGuest(engine, name, scope);
    const env = {
      ...image.env,
      HOME: GUEST.home,
      USER: GUEST.user,
      LOGNAME: GUEST.user,
      SHELL: "/bin/sh",
      LANG: "C.UTF-8",
      PATH: image.env["PATH"] ?? SYSTEM_PATH,
      ...options.env,
    };
    const guest = createInitGuest({
      client,
      ended,
      freezer: {
        freeze: () => pauseContainer(engine, name, true),
        thaw: () => pauseContainer(engine, name, false),
      },
      copyInAsRoot: (from, to, mode) => putBelowEtc(engine, name, from, to, mode),
      env,
    });
    if (plan.image !== undefined) await refuseUnfit(guest, { name: imageWord(plan.image), plan, env });
    return guest;
  },

  enumerate: enumerateOfEngine,

  async sweep(): Promise<void> {
    const engine = findEngine();
    // One that does not answer is asked again by the next one who cleans up.
    if (engine !== undefined) await sweepMakers(engine).catch(() => {});
  },

  async remove({ kind, name }): Promise<void> {
    const engine = theEngine();
    switch (kind) {
      case "container":
        return removeContainer(engine, name);
      case "network":
        await removeNetwork(engine, name);
        return;
      default:
        return removeVolume(engine, name);
    }
  },
};

/** What the bottle names; else what comes with us. @throws UserError */
async function imageFor(engine: Engine, { image }: BottlePlan, progress: Progress): Promise<EngineImage> {
  if (image !== undefined && image.kind !== "built-in")
    return putIntoEngine(engine, { source: image, cache: cacheOf(), progress });
  const name = await ensureAgentImage(engine, progress);
  const found = await findImage(engine, name);
  if (found === undefined) throw new Error(`the engine has no ${name}, which was just made`);
  return found;
}

function theEngine(): Engine {
  const engine = findEngine();
  if (engine === undefined)
    throw new UserError("there is no docker-compatible engine", { hint: "bottle doctor" });
  return engine;
}

/** Starts it and waits for its init, whose streams its stdin and stdout carry. */
async function startGuest(engine: Engine, name: string, scope: Scope) {
  const child = startContainer(engine, name);
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  let complaint = "";
  stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const mux = createMux(stdout, stdin);
  scope.defer("guest's streams", async () => {
    mux.destroy();
    child.kill("SIGKILL");
    await exited(child);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(`the guest's container ended (${signal ?? code})`));
  });
  const client = createGuestClient((options) => mux.open(options));
  try {
    await client.watch();
  } catch (error) {
    throw new Error(`cannot start the guest: ${printable(complaint.trim())} (${messageOf(error)})`, {
      cause: error,
    });
  }
  // Without its init nothing can be asked of it any more, whatever else still runs there.
  void mux.ended.then(() => removeContainer(engine, name).catch(() => {}));
  return { client, ended };
}
