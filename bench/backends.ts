/** The backends that can be measured here, one after the other, each with what its commands need in their environment. */
import type { BackendName } from "../src/contract/isolation.ts";
import { isRoot } from "../test/support/bottle-cli.ts";
import { engineLack, startEngine } from "../test/support/docker-engine.ts";
import { vmLack } from "../test/support/vm-host.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Measured {
  measured(backend: BackendName, env: Environment): Promise<void>;
  missing(backend: BackendName, lack: string): void;
}

/** Not `smolmachines`: what a stand-in takes says nothing of the real one. */
export async function forEachBackend({ measured, missing }: Measured): Promise<void> {
  await measured("namespace", {});
  const noEngine = isRoot ? engineLack() : "an engine of its own is started by root";
  if (noEngine === undefined) {
    const engine = await startEngine();
    try {
      const { DOCKER_HOST, BOT_BOTTLE_IMAGE_BASE } = engine.env;
      await measured("docker", { DOCKER_HOST, BOT_BOTTLE_IMAGE_BASE });
    } finally {
      await engine.close();
    }
  } else missing("docker", noEngine);
  const noMachines = await vmLack();
  if (noMachines === undefined) {
    await measured("qemu", { BOT_BOTTLE_CACHE: process.env["BOT_BOTTLE_CACHE"] });
  } else missing("qemu", noMachines);
}
