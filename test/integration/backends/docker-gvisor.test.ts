/** The docker backend where gVisor is registered: the guest has a kernel of its own in user space. */
import { release } from "node:os";
import { afterAll, describe, expect, it } from "vitest";
import { dockerBackend } from "../../../src/backends/docker/backend.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { sh, startBottle } from "../../support/bottle-guest.ts";
import { gvisorLack, startEngine } from "../../support/docker-engine.ts";
import { engineTraces } from "../../support/docker-traces.ts";
import { describeBackend } from "./behaviour.ts";

const lack = gvisorLack();
if (lack === undefined) {
  const engine = await startEngine({ gvisor: true });
  Object.assign(process.env, engine.env);
  afterAll(() => engine.close());

  describe("the docker backend on gVisor", () => {
    it("says so before anything starts", async () => {
      expect(await dockerBackend.probe()).toMatchObject({
        usable: true,
        isolation: "gvisor",
        strength: expect.stringContaining("gVisor"),
      });
    });

    it("gives its guest another kernel than the host's", async () => {
      const bottle = await startBottle(dockerBackend);
      expect(await sh(bottle.guest, "uname -r")).not.toBe(release());
      expect(await sh(bottle.guest, "dmesg | head -n 1")).toContain("Starting gVisor");
      await bottle.close();
    });
  });

  describeBackend({
    backend: dockerBackend,
    variant: "on gVisor",
    hasRoot: false,
    nests: "its kernel is its own",
    room: { folder: "/tmp" },
    memory: {
      not: "it is all one process's of the host, gVisor's kernel, which is killed with all that it runs",
    },
    link: { not: "its programs' way is its first process's own streams: who loses them has lost the guest" },
    losesProcesses:
      "the limit counts the threads of gVisor's own kernel, which ends when it can make no more",
    crash: async ({ id }) => void (await runOk(["docker", "kill", `bot-bottle-${id}-guest`])),
    traces: (bottle) => engineTraces("docker", bottle),
  });
} else {
  console.warn(`SKIPPED: the docker backend on gVisor: ${lack}`);
  describe("the docker backend on gVisor", () => it.skip(`behaves as every backend must (${lack})`));
}
