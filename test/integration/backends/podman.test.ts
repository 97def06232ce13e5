/** The docker backend behaves as every backend must on podman too, as root. */
import { afterAll, describe, expect, it } from "vitest";
import { dockerBackend } from "../../../src/backends/docker/backend.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { engineTraces } from "../../support/docker-traces.ts";
import { interfaces, podmanLack, startPodman } from "../../support/podman-engine.ts";
import { describeBackend } from "./behaviour.ts";

const lack = podmanLack();
if (lack === undefined) {
  const before = interfaces();
  const engine = await startPodman();
  Object.assign(process.env, engine.env);
  afterAll(async () => {
    await engine.close();
    // Others of this host come and go, those of other tests' engines among them.
    const isNew = (name: string): boolean => name.includes("podman") && !before.includes(name);
    expect(interfaces().filter(isNew)).toEqual([]);
  });

  describe("the docker backend on podman", () => {
    it("says which engine it is before anything starts", async () => {
      expect(await dockerBackend.probe()).toMatchObject({
        usable: true,
        isolation: "container",
        strength: expect.stringMatching(/^podman \d+\.\d+/),
      });
    });
  });

  describeBackend({
    backend: dockerBackend,
    variant: "on podman",
    hasRoot: false,
    room: { folder: "/tmp" },
    memory: {
      not: "the limit is the one that docker's guests are tried with, and podman's monitor leaves a file `oom` in the folder it was started from",
    },
    link: { not: "its programs' way is its first process's own streams: who loses them has lost the guest" },
    crash: async ({ id }) => void (await runOk(["podman", "kill", `bot-bottle-${id}-guest`])),
    traces: (bottle) => engineTraces("podman", bottle),
  });
} else {
  console.warn(`SKIPPED: the docker backend on podman: ${lack}`);
  describe("the docker backend on podman", () => it.skip(`behaves as every backend must (${lack})`));
}
