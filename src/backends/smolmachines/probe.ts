/** What this host can do for the `smolmachines` backend, and what adds what it lacks. */
import { accessSync, constants, existsSync } from "node:fs";
import { platform as hostPlatform } from "node:os";
import type { Availability, Lack } from "../../contract/backend.ts";
import { messageOf } from "../../lib/errors.ts";
import { programOnPath } from "../../lib/program-on-path.ts";
import { canOpenRoom } from "./room.ts";
import { readSmolvm, type Smolvm } from "./smolvm.ts";
import { isBefore, OLDEST, versionText } from "./versions.ts";

const WHERE_TO_GET =
  "install smolvm 1.9 or newer from https://github.com/smol-machines/smolvm, and put it on PATH";

export type FoundSmolvm = { readonly smolvm: Smolvm } | { readonly lack: Lack };

export async function lookForSmolvm(): Promise<FoundSmolvm> {
  const path = programOnPath("smolvm");
  if (path === undefined) return { lack: { what: "smolvm", remedy: WHERE_TO_GET } };
  try {
    const smolvm = await readSmolvm(path);
    if (smolvm === undefined)
      return { lack: { what: `a smolvm that tells its version (${path} does not)`, remedy: WHERE_TO_GET } };
    if (isBefore(smolvm.version, OLDEST))
      return {
        lack: {
          what: `smolvm ${versionText(OLDEST)} or newer (${smolvm.text} is there)`,
          remedy: WHERE_TO_GET,
        },
      };
    return { smolvm };
  } catch (error) {
    return { lack: { what: `a smolvm that runs (${path}: ${messageOf(error)})`, remedy: WHERE_TO_GET } };
  }
}

export async function probeSmolmachines(): Promise<Availability> {
  const platform = hostPlatform();
  if (platform !== "linux" && platform !== "darwin")
    return { usable: false, lacks: [{ what: "Linux or macOS", remedy: "use another host" }] };
  const found = await lookForSmolvm();
  const acceleration = platform === "linux" ? kvmLack() : undefined;
  if ("lack" in found || acceleration !== undefined) {
    const lacks = ["lack" in found ? found.lack : undefined, acceleration];
    return { usable: false, lacks: lacks.filter((lack) => lack !== undefined) };
  }
  const { smolvm } = found;
  const confined = platform === "linux" && (await canOpenRoom());
  const lacks: Lack[] = [];
  if (platform === "linux" && !confined)
    lacks.push({
      what: "a network namespace for the machine (what it may reach is then smolvm's own filter's to say)",
      remedy:
        "apt-get install util-linux iproute2, and allow user namespaces: bottle doctor says how at namespace",
    });
  if (!smolvm.traits.mountsSockets)
    lacks.push({
      what: `smolvm 1.9 or newer: ${smolvm.text} cannot run a machine without a network`,
      remedy: WHERE_TO_GET,
    });
  return {
    usable: true,
    isolation: "vm",
    strength: [
      `libkrun micro-VM by smolvm ${smolvm.text}`,
      smolvm.traits.mountsSockets ? "no network" : confined ? "in a network namespace" : "a filtered network",
    ].join("; "),
    lacks,
  };
}

/** As far as one can tell without starting a machine. */
export function kvmLack(device = "/dev/kvm"): Lack | undefined {
  if (!existsSync(device))
    return {
      what: `KVM (${device})`,
      remedy: "sudo modprobe kvm_intel || sudo modprobe kvm_amd; in a VM, switch nested virtualisation on",
    };
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return {
      what: `leave to use KVM (${device})`,
      remedy: 'sudo usermod -aG kvm "$USER", then log in again',
    };
  }
}
