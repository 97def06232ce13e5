/** What this host's engine can do for the `docker` backend, by its own word. */
import type { Availability, Lack } from "../../contract/backend.ts";
import { type Engine, engineInfo, findEngine, isPodman } from "../../engine/engine.ts";
import { messageOf, UserError } from "../../lib/errors.ts";

const NO_ENGINE: Lack = {
  what: "a docker-compatible engine",
  remedy: "install Docker Desktop, OrbStack, or: apt-get install docker.io",
};
const NO_GVISOR: Lack = {
  what: "gVisor",
  remedy: "install runsc and register it: https://gvisor.dev/docs/user_guide/install/",
};
const OLD_FILTER: Lack = {
  what: "a system-call filter that keeps guests from vsock (where this host is itself a virtual machine, they can speak to its hypervisor)",
  remedy: "use Docker 23 or podman 5, or newer",
};
const NESTING_FILTER: Lack = {
  what: "a system-call filter that keeps guests from new user namespaces and from keyrings (podman's lets containers nest, and cannot be read on this host)",
  remedy:
    "use podman on the host itself, with its seccomp.json (Debian: golang-github-containers-common), or docker",
};
/** The first release of Docker whose default filter refuses sockets of that family. */
const FILTERS_VSOCK = 23;
const FIRST_DOCKER = 17;
/** Its 4.3.1 was seen to. */
const PODMAN_LETS_PASS = 4;
/** A stronger boundary than the host's own kernel, for whoever registered it. */
export const GVISOR = "runsc";

export async function probeEngine(): Promise<Availability> {
  const engine = findEngine();
  if (engine === undefined) return { usable: false, lacks: [NO_ENGINE] };
  try {
    const { version, runtimes, filterFile } = await engineInfo(engine);
    const name = engine.program.split("/").at(-1);
    const filter = filterFile === undefined ? "default seccomp" : "its default seccomp narrowed to docker's";
    return !runtimes.includes(GVISOR)
      ? {
          usable: true,
          isolation: "container",
          strength: `${name} ${version}: a container without a network, shared kernel, ${filter}`,
          lacks: [
            NO_GVISOR,
            ...(filterFile === undefined && letsVsockPass(version) ? [OLD_FILTER] : []),
            ...(filterFile === undefined && isPodman(engine) ? [NESTING_FILTER] : []),
          ],
        }
      : {
          usable: true,
          isolation: "gvisor",
          strength: `${name} ${version} with gVisor: a container without a network, on a kernel of its own in user space`,
          lacks: [],
        };
  } catch (error) {
    const remedy = error instanceof UserError && error.hint !== undefined ? error.hint : "see what it says";
    return { usable: false, lacks: [{ what: messageOf(error), remedy }] };
  }
}

function letsVsockPass(version: string): boolean {
  const major = Number(/^(\d+)\./.exec(version)?.[1]);
  // Podman's numbers are smaller than any that docker has used since 2017.
  return major < FIRST_DOCKER ? major <= PODMAN_LETS_PASS : major < FILTERS_VSOCK;
}

/** Of the engine's, as far as it says; undefined: its default. */
export async function strongestGuest(
  engine: Engine,
): Promise<{ readonly runtime: string | undefined; readonly filterFile: string | undefined }> {
  const { runtimes, filterFile } = await engineInfo(engine);
  return { runtime: runtimes.includes(GVISOR) ? GVISOR : undefined, filterFile };
}
