/** The backends on which `bottle attack` is tried, and what is known of each. */
import { existsSync, mkdtempSync } from "node:fs";
import { namespaceBackend } from "../../src/backends/namespace/backend.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { type AttackTried, NO_SUCH_CODE, NOT_EVEN_ROOT } from "./attacked.ts";
import { engineLack, engineVariables, gvisorLack, startEngine, type TestEngine } from "./docker-engine.ts";
import { podmanLack, startPodman } from "./podman-engine.ts";
import { isRoot } from "./real-bottle.ts";
import { installSmolvm, realSmolvm } from "./smolvm.ts";
import { VM_CACHE, vmLack } from "./vm-host.ts";

const namespaces = await namespaceBackend.probe();
const ownCache = process.env["BOT_BOTTLE_CACHE"];
const machinesLack = await vmLack();
// The others keep to the cache that they had.
if (ownCache === undefined) delete process.env["BOT_BOTTLE_CACHE"];
else process.env["BOT_BOTTLE_CACHE"] = ownCache;

export const NAMESPACE: AttackTried = {
  backend: "namespace",
  lack: namespaces.usable ? undefined : namespaces.lacks.map(({ what }) => what).join("; "),
  start: async () => ({ env: {}, close: nothing }),
  stated: {
    ofBackend: ["own-mcp-bearer"],
    ofMachine: [...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-listeners"],
  },
};

/** With Debian 12's engine, and without a network around its containers. */
export const DOCKER: AttackTried = {
  backend: "docker",
  lack: engineLack(),
  start: () => engineWorld(startEngine()),
  stated: {
    ofBackend: [
      ...["file-sys", "kernel-io-uring", "kernel-line-discipline", "kernel-paste-into-console"],
      ...[
        "kernel-type-into-terminal",
        "own-mcp-bearer",
        "protocol-multipath-socket",
        "protocol-netlink-audit",
      ],
      ...["protocol-udplite-socket", "protocol-vsock", "resource-descriptors"],
    ],
    ofMachine: [
      ...[...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-groups", "left-listeners"],
      ...["file-folders", "file-shadow", "file-system", "name-configured", "name-stub"],
      "operator-resolvers",
    ],
  },
};

/** Its kernel is its own, and nobody filters what is asked of that. Those that are also late are told apart. */
export const QEMU: AttackTried = {
  backend: "qemu",
  lack: machinesLack,
  start: async () => ({ env: { BOT_BOTTLE_CACHE: VM_CACHE }, close: nothing }),
  stated: {
    ofBackend: [
      ...["file-kernel-settings", "file-set-id", "file-sys", "kernel-add-key", "kernel-capabilities"],
      ...["kernel-clock", "kernel-clone3", "kernel-io-uring", "kernel-keyrings", "kernel-line-discipline"],
      ...["kernel-no-new-privileges", "kernel-paste-into-console", "kernel-perf", "kernel-personality"],
      ...["kernel-type-into-terminal", "kernel-user-namespace", "kernel-user-namespace-clone"],
      ...["operator-weaker", "own-mcp-bearer", "own-ports", "protocol-multipath-socket"],
      ...["protocol-netlink-audit", "protocol-udplite-socket", "resource-temporary-files"],
    ],
    ofMachine: [...NO_SUCH_CODE, ...NOT_EVEN_ROOT, "left-daemon", "left-groups", "left-listeners"],
  },
};

/** Of the stand-in where there is no real smolvm: its guests' kernel is the host's, and so is their memory. */
export const MACHINES: AttackTried = {
  backend: "smolmachines",
  ...(realSmolvm() === undefined && { lacking: ["resource-memory"] }),
  lack: isRoot && existsSync("/dev/kvm") ? undefined : "it takes root and /dev/kvm",
  start: async () => {
    const bin = mkdtempSync("/var/tmp/bbv-");
    const PATH = `${realSmolvm() === undefined ? installSmolvm(bin, "1.9.3") : bin}:${process.env["PATH"]}`;
    return { env: { PATH }, close: () => removeTree(bin) };
  },
};

export const GVISOR: AttackTried = {
  ...{ backend: "docker", on: "gVisor", lack: gvisorLack() },
  start: () => engineWorld(startEngine({ gvisor: true })),
};
export const PODMAN: AttackTried = {
  ...{ backend: "docker", on: "podman", lack: podmanLack() },
  start: () => engineWorld(startPodman()),
};

async function engineWorld(starting: Promise<Pick<TestEngine, "env" | "close">>) {
  const engine = await starting;
  return { env: engineVariables(engine), close: engine.close };
}

async function nothing(): Promise<void> {}
