/** The docker backend behaves as every backend must, on a real engine. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, it } from "vitest";
import { dockerBackend } from "../../../src/backends/docker/backend.ts";
import { runOk } from "../../../src/lib/processes.ts";
import type { TestBottle } from "../../support/bottle-guest.ts";
import { engineLack, startEngine } from "../../support/docker-engine.ts";
import { describeBackend } from "./behaviour.ts";

const lack = engineLack();
if (lack === undefined) {
  const engine = await startEngine();
  Object.assign(process.env, engine.env);
  afterAll(() => engine.close());
  describeBackend({
    backend: dockerBackend,
    hasRoot: false,
    crash: async ({ id }) =>
      void (await runOk(["docker", "kill", `bot-bottle-${id}-guest`], { env: engine.env })),
    traces,
  });
} else {
  console.warn(`SKIPPED: the docker backend: ${lack}`);
  describe("the docker backend", () => it.skip(`behaves as every backend must (${lack})`));
}

/** By the bottle's name alone: what the engine has, and processes of the host's. */
async function traces({ id }: TestBottle): Promise<readonly string[]> {
  const names = async (...words: string[]): Promise<readonly string[]> =>
    (await runOk(["docker", ...words])).stdout
      .toString()
      .split("\n")
      .filter((name) => name.includes(id));
  return [
    ...(await names("container", "ls", "--all", "--format", "{{.Names}}")),
    ...(await names("network", "ls", "--format", "{{.Name}}")),
    ...(await names("volume", "ls", "--format", "{{.Name}}")),
    ...processesNaming(id),
  ];
}

function processesNaming(id: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return argv.includes(id) ? [argv] : [];
      } catch {
        return [];
      }
    });
}
