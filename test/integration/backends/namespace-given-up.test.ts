/** I9: a launch that is given up in the middle leaves as little as one that came to its end. */
import { readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { planFor, temporaryFolder } from "../../support/bottle-guest.ts";
import { processesOfFolder } from "../../support/namespace-host.ts";

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder, "state"));
  await mkdir(join(folder, "run"));
});
afterEach(() => removeTree(folder));

/** From before the first file to after the guest is up. */
const MOMENTS_MS = [0, 2, 5, 10, 20, 40, 80, 120, 200];

describe("a launch that is given up", () => {
  it.each(MOMENTS_MS)("after %i ms leaves no process, group, socket or root", async (moment) => {
    const plan = planFor(namespaceBackend);
    const id = `t-given-up-${process.pid}-${moment}`;
    const scope = createScope();
    const launch = async (): Promise<void> => {
      const prepared = await namespaceBackend.prepare({ plan, tools: [] }, () => {});
      const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
      const request = { id, plan, stateDir, runtimeDir, services: ["egress"] as const };
      const link = await namespaceBackend.reserve(prepared, request, scope);
      await namespaceBackend.boot(prepared, link, { plan, env: {} }, scope);
    };
    const launched = launch().then(
      () => "up",
      (error: unknown) => error,
    );
    await pause(moment);
    await scope.close();
    expect(await launched).toBeDefined();
    // What was acquired after the end was given back at once, but not yet when the end was over.
    for (let attempt = 0; attempt < 100 && left(id).length > 0; attempt++) await pause(20);
    expect(left(id)).toEqual([]);
    expect((await namespaceBackend.enumerate()).filter(({ bottle }) => bottle === id)).toEqual([]);
  });

  function left(_id: string): readonly string[] {
    return [
      ...processesOfFolder(folder).map((pid) => `process ${pid}`),
      ...readdirSync(join(folder, "state")).filter((name) => name !== "home"),
      ...readdirSync(join(folder, "run")),
    ];
  }
});
