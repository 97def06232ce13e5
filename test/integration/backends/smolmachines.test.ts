/** The smolmachines backend behaves as every backend must, with each release of smolvm; or with the real one. */
import { accessSync, constants } from "node:fs";
import { afterAll, beforeAll, describe } from "vitest";
import { smolmachinesBackend } from "../../../src/backends/smolmachines/backend.ts";
import { drawn } from "../../support/random.ts";
import { lastingTracesOf, useSmolvm, vmmOf } from "../../support/smolmachines-host.ts";
import { because, realSmolvm, SMOLVM_VERSIONS, standInLack } from "../../support/smolvm.ts";
import { describeBackend } from "./behaviour.ts";

const real = realSmolvm();

const lack = real === undefined ? standInLack() : undefined;
if (lack !== undefined) console.warn(`SKIPPED: machines of smolvm's: ${lack}`);

describe
  .skipIf(lack !== undefined)
  .each(real === undefined ? drawn("smolvm's behaviour", SMOLVM_VERSIONS, 1) : [real])(
  `smolvm %s${because(lack)}`,
  (version) => {
    let used: ReturnType<typeof useSmolvm> | undefined;
    beforeAll(() => {
      if (real === undefined) used = useSmolvm(version);
      else accessSync(real, constants.X_OK);
    });
    afterAll(() => used?.undo());
    describeBackend({
      backend: smolmachinesBackend,
      hasRoot: true,
      room: { not: "a stand-in's disk is the host's" },
      memory: { not: "a stand-in's memory is the host's" },
      link: { not: "smolvm makes a way of its own for each program: there is none that stays" },
      nests: "its kernel would be its own; and a stand-in's guest has the host's",
      opensVsock: "smolvm reaches its guests by it; and a stand-in's guest has the host's kernel",
      async crash(bottle) {
        for (const pid of vmmOf(bottle)) process.kill(pid, "SIGKILL");
      },
      traces: lastingTracesOf,
    });
  },
);
