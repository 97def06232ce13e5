/**
 * What each backend gives its guests, where backends differ: known from how it is made and what it found on this host,
 * never from what the guest says of itself.
 */

import { networkInterfaces } from "node:os";
import { limitable } from "../backends/namespace/limits.ts";
import { findFilter } from "../backends/namespace/probe.ts";
import { accelerationCandidate } from "../backends/qemu/acceleration.ts";
import { machineArch } from "../backends/qemu/machine.ts";
import type { BackendName } from "../contract/isolation.ts";
import { countsProcesses } from "../jail/process-limit.ts";
import type { Capabilities } from "./probe.ts";

type OfBackend = Omit<Capabilities, "outerNetwork" | "hostRoot" | "ipv6">;

interface Site {
  readonly gives: () => OfBackend;
  /** Its guests and sidecars are descendants of ours, so a network around us is around them. */
  readonly inOuterNetwork: boolean;
}

export const SITES: Readonly<Record<BackendName, Site>> = {
  namespace: {
    gives: () => ({
      sharedKernel: true,
      syscallFilter: findFilter() !== undefined,
      ownFilter: findFilter() !== undefined,
      hiddenSys: true,
      memoryLimit: limitable().includes("memory"),
      processLimit: limitable().includes("pids") || countsProcesses(),
      nativeProcessor: true,
      bearerOnEveryService: false,
    }),
    inOuterNetwork: true,
  },
  qemu: {
    gives: () => ({
      sharedKernel: false,
      syscallFilter: false,
      ownFilter: false,
      hiddenSys: true,
      memoryLimit: true,
      processLimit: true,
      nativeProcessor: isAccelerated(),
      bearerOnEveryService: false,
    }),
    inOuterNetwork: true,
  },
  smolmachines: {
    gives: () => ({
      sharedKernel: false,
      syscallFilter: false,
      ownFilter: false,
      hiddenSys: true,
      memoryLimit: true,
      processLimit: false,
      nativeProcessor: true,
      bearerOnEveryService: true,
    }),
    inOuterNetwork: process.platform === "linux",
  },
  docker: {
    gives: () => ({
      sharedKernel: true,
      syscallFilter: true,
      ownFilter: false,
      hiddenSys: false,
      memoryLimit: true,
      processLimit: true,
      nativeProcessor: true,
      bearerOnEveryService: false,
    }),
    // Its containers are the engine's, which is where it is.
    inOuterNetwork: false,
  },
};

function isAccelerated(): boolean {
  const arch = machineArch();
  return arch !== undefined && accelerationCandidate(arch) !== undefined;
}

/** @param hostRoot told, because an outer world calls everybody root. */
export function capabilitiesOf(
  backend: BackendName,
  { outerNetwork, hostRoot }: Pick<Capabilities, "outerNetwork" | "hostRoot">,
): Capabilities {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return {
    ...SITES[backend].gives(),
    outerNetwork,
    hostRoot,
    ipv6: addresses.some(({ family }) => family === "IPv6"),
  };
}
