/** The docker backend behaves as every backend must, on a real engine. */
import { afterAll, describe, it } from "vitest";
import { dockerBackend } from "../../../src/backends/docker/backend.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { engineLack, startEngine } from "../../support/docker-engine.ts";
import { engineTraces } from "../../support/docker-traces.ts";
import { describeBackend } from "./behaviour.ts";

const lack = engineLack();
if (lack === undefined) {
  const engine = await startEngine();
  Object.assign(process.env, engine.env);
  afterAll(() => engine.close());
  describeBackend({
    backend: dockerBackend,
    hasRoot: false,
    room: { folder: "/tmp" },
    memory: "limited",
    link: { not: "its programs' way is its first process's own streams: who loses them has lost the guest" },
    opensVsock: "the engine's own system-call filter lets them",
    crash: async ({ id }) => void (await runOk(["docker", "kill", `bot-bottle-${id}-guest`])),
    traces: (bottle) => engineTraces("docker", bottle),
  });
} else {
  console.warn(`SKIPPED: the docker backend: ${lack}`);
  describe("the docker backend", () => it.skip(`behaves as every backend must (${lack})`));
}
