/**
 * What each backend gives its guests, where backends differ: known from how it is made and what it found on this host,
 * never from what the guest says of itself.
 */

import { networkInterfaces } from "node:os";
import { GVISOR } from "../backends/docker/probe.ts";
import { limitable } from "../backends/namespace/limits.ts";
import { findFilter } from "../backends/namespace/probe.ts";
import { qemuBackend } from "../backends/qemu/backend.ts";
import type { Progress } from "../contract/backend.ts";
import type { BackendName } from "../contract/isolation.ts";
import { engineInfo, findEngine } from "../engine/engine.ts";
import { countsProcesses } from "../jail/resource-limits.ts";
import { cacheOf } from "../lib/paths.ts";
import type { Capabilities } from "./probe.ts";

type OfBackend = Omit<Capabilities, "outerNetwork" | "hostRoot" | "ipv6">;

interface Site {
  /** Once bottles of it have been started. */
  readonly gives: () => OfBackend | Promise<OfBackend>;
  /** What its bottles are made of, where that must be fetched: the world of a run has no way out. */
  readonly fetch?: (progress: Progress, signal?: AbortSignal) => Promise<unknown>;
  /** Its guests and sidecars are descendants of ours, so a network around us is around them. */
  readonly inOuterNetwork: boolean;
}

export const SITES: Readonly<Record<BackendName, Site>> = {
  namespace: {
    gives: () => ({
      sharedKernel: true,
      linux: true,
      syscallFilter: findFilter() !== undefined,
      ownFilter: findFilter() !== undefined,
      hiddenSys: true,
      memoryLimit: limitable().includes("memory"),
      processLimit: limitable().includes("pids") || countsProcesses(),
      fileLimit: true,
      nativeProcessor: true,
    }),
    inOuterNetwork: true,
  },
  qemu: {
    gives: async () => ({
      sharedKernel: false,
      linux: true,
      syscallFilter: false,
      ownFilter: false,
      hiddenSys: true,
      memoryLimit: true,
      processLimit: true,
      fileLimit: false,
      nativeProcessor: await isAccelerated(),
    }),
    fetch: async (progress, signal) => {
      const { DEFAULT_DISK_BYTES, prepareRootImage } = await import("../image/root-image.ts");
      const request = {
        source: { kind: "built-in" },
        tools: [],
        cache: cacheOf(),
        diskBytes: DEFAULT_DISK_BYTES,
      } as const;
      await prepareRootImage(request, progress, signal);
    },
    inOuterNetwork: true,
  },
  smolmachines: {
    gives: () => ({
      sharedKernel: false,
      linux: true,
      syscallFilter: false,
      ownFilter: false,
      hiddenSys: true,
      memoryLimit: true,
      processLimit: false,
      fileLimit: false,
      nativeProcessor: true,
    }),
    inOuterNetwork: process.platform === "linux",
  },
  docker: {
    gives: async () => {
      const engine = findEngine();
      if (engine === undefined) throw new Error("the engine is gone");
      const { runtimes, filtersCalls, limits } = await engineInfo(engine);
      const onGvisor = runtimes.includes(GVISOR);
      return {
        sharedKernel: !onGvisor,
        linux: !onGvisor,
        syscallFilter: filtersCalls && !onGvisor,
        ownFilter: false,
        hiddenSys: onGvisor,
        memoryLimit: limits.memory,
        processLimit: limits.processes && !onGvisor,
        fileLimit: false,
        nativeProcessor: true,
      };
    },
    // Its containers are the engine's, which is where it is.
    inOuterNetwork: false,
  },
};

/** As it was tried when the first of them started. */
async function isAccelerated(): Promise<boolean> {
  const found = await qemuBackend.probe();
  return found.usable && found.emulated !== true;
}

/** @param hostRoot told, because an outer world calls everybody root. */
export async function capabilitiesOf(
  backend: BackendName,
  { outerNetwork, hostRoot }: Pick<Capabilities, "outerNetwork" | "hostRoot">,
): Promise<Capabilities> {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return {
    ...(await SITES[backend].gives()),
    outerNetwork,
    hostRoot,
    ipv6: addresses.some(({ family }) => family === "IPv6"),
  };
}
