/**
 * Guests as libkrun micro-VMs, by the `smolvm` command. What a bottle has of it lies below its own state directory;
 * what the guest reaches is its bundle, by a way that depends on the release (way.ts), and is verified from inside.
 */
import type { Backend, BootOptions, Guest, PrepareRequest } from "../../contract/backend.ts";
import type { ImageSource } from "../../contract/image.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { imageWord } from "../../plan/image-word.ts";
import { poolStep } from "./alias.ts";
import { prepareArtefact } from "./artefact.ts";
import { bootMachine, type SmolmachinesPrepared } from "./boot.ts";
import { prepareBundleImage } from "./bundle-image.ts";
import { enumerateMachines, removeResource, sweepPacking } from "./leftovers.ts";
import { reserveLink, type SmolmachinesHost, type SmolmachinesLink } from "./link.ts";
import { lookForSmolvm, probeSmolmachines } from "./probe.ts";
import { wayFor } from "./way.ts";

/** Debian with node, git and a user `node`; taken when the bottle names none. */
const DEFAULT_IMAGE: ImageSource = {
  kind: "registry",
  host: "docker.io",
  repository: "library/node",
  tag: "22-bookworm",
};

export function createSmolmachinesBackend(host: SmolmachinesHost = {}): Backend {
  return {
    name: "smolmachines",
    takesImages: true,
    sidecarsIn: ["process", "container"],
    probe: probeSmolmachines,

    async hostStep({ bundle }) {
      const step = poolStep();
      if (step === undefined || bundle === "container") return step;
      const found = await lookForSmolvm();
      return "smolvm" in found && wayFor(found.smolvm, false).kind === "alias" ? step : undefined;
    },

    async prepare(request: PrepareRequest, progress, signal): Promise<SmolmachinesPrepared> {
      const found = await lookForSmolvm();
      if ("lack" in found)
        throw new UserError(`smolmachines lacks ${found.lack.what}`, { hint: found.lack.remedy });
      const { smolvm } = found;
      const { plan, tools } = request;
      const contained = plan.bundle === "container" ? await prepareBundleImage(plan, progress) : undefined;
      const source = plan.image ?? DEFAULT_IMAGE;
      const { path } = await prepareArtefact({
        ...{ smolvm, source, cache: cacheOf(), progress },
        ...(signal && { signal }),
      });
      return { backend: "smolmachines", smolvm, image: imageWord(source), file: path, tools, contained };
    },

    reserve(prepared, request, scope): Promise<SmolmachinesLink> {
      const { smolvm, contained } = prepared as SmolmachinesPrepared;
      return reserveLink(smolvm, contained, request, host, scope);
    },

    boot(prepared, link, options: BootOptions, scope): Promise<Guest> {
      return bootMachine(prepared as SmolmachinesPrepared, link as SmolmachinesLink, options, scope);
    },

    enumerate: enumerateMachines,
    remove: removeResource,
    sweep: sweepPacking,

    async cachedParts(wanted) {
      const { cachedArtefacts } = await import("./artefact-store.ts");
      const found = await lookForSmolvm();
      const smolvm = "lack" in found ? undefined : found.smolvm;
      // What a bottle gets that names none is always wanted.
      const words = wanted && new Set([...wanted, imageWord(DEFAULT_IMAGE)]);
      return cachedArtefacts(cacheOf(), smolvm, words);
    },
  };
}

export const smolmachinesBackend: Backend = createSmolmachinesBackend();
