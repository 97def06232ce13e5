/**
 * What every backend must do, as one suite: `describeBackend("namespace", …)` in a test file holds that backend to
 * it. Whatever is true of one backend only is tested beside it.
 */
import { afterAll, beforeAll, describe } from "vitest";
import type { Backend } from "../../../src/contract/backend.ts";
import { startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { testExec } from "./behaviour/exec.ts";
import { testFiles } from "./behaviour/files.ts";
import { testIsolation } from "./behaviour/isolation.ts";
import { testLife } from "./behaviour/life.ts";
import { testLimits } from "./behaviour/limits.ts";
import { testNetwork } from "./behaviour/network.ts";
import { testStreams } from "./behaviour/streams.ts";
import { testTerminal } from "./behaviour/terminal.ts";

/** Why something is not tried of a backend: shown with the test that is left out. */
export interface Not {
  readonly not: string;
}

export interface BackendUnderTest {
  readonly backend: Backend;
  /** What is special here, for a backend that is tried in several ways. */
  readonly variant?: string;
  /** Whether the guest has a root user; one that has none must refuse it. */
  readonly hasRoot: boolean;
  /** A folder that holds so much and no more; or why there is none. */
  readonly room: { readonly folder: string } | Not;
  /** Whether its memory is limited; or why that is not, or is not tried. */
  readonly memory: "limited" | Not;
  /** On the guest's loopback, besides the services: what makes the guest. */
  readonly ownPorts?: readonly number[];
  /** Why a guest that has too many processes is not only refused more, where that is so. */
  readonly losesProcesses?: string;
  /** Why its guests may open vsock sockets, where they may. */
  readonly opensVsock?: string;
  /** Why its guests may make user namespaces and look into keyrings, where they may. */
  readonly nests?: string;
  /** Breaks the link under a running guest, which must then make it anew; or why there is nothing that could break. */
  readonly link: { lose(bottle: TestBottle): Promise<void> } | Not;
  /** What makes the guest runs under another user than the agent, who may kill all there is of his own. */
  readonly survivesItsAgent?: true;
  /** Kills the guest from outside, as a crash would. */
  crash(bottle: TestBottle): Promise<void>;
  /** What is left of a bottle on the host, a line each; empty after teardown. */
  traces(bottle: TestBottle): Promise<readonly string[]>;
}

/** An image may have to be made first. */
const PREPARE_TIMEOUT_MS = 300_000;

/** The bottle's own environment in the shared guest. */
export const BOTTLE_ENV = { BOTTLE_GREETING: "hello from the bottle" } as const;

/** @param lack why this machine cannot run it, if it cannot. */
export function describeBackend(under: BackendUnderTest, lack?: string): void {
  const how = under.variant === undefined ? "" : ` ${under.variant}`;
  describe.skipIf(lack !== undefined)(`the ${under.backend.name} backend${how}`, () => {
    let bottle: TestBottle | undefined;
    beforeAll(async () => {
      bottle = await startBottle(under.backend, { env: BOTTLE_ENV, services: ["egress"] });
    }, PREPARE_TIMEOUT_MS);
    afterAll(() => bottle?.close());
    const guest = () => {
      if (bottle === undefined) throw new Error("no guest was started");
      return bottle.guest;
    };
    const link = () => {
      if (bottle === undefined) throw new Error("no guest was started");
      return bottle.link;
    };
    describe("exec", () => testExec(guest, under));
    describe("streams", () => testStreams(guest));
    describe("terminals", () => testTerminal(guest));
    describe("files", () => testFiles(guest));
    describe("network", () => testNetwork(guest));
    describe("isolation", () => testIsolation(guest, link, under));
    describe("limits", () => testLimits(guest, under));
    describe("life", () => testLife(under));
  });
}
