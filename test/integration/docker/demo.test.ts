/** The demo, the real Claude Code in it, on docker. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheOf } from "../../../src/lib/paths.ts";
import { claude } from "../../../src/providers/claude.ts";
import {
  engineLack,
  engineVariables,
  gvisorLack,
  startEngine,
  type TestEngine,
} from "../../support/docker-engine.ts";
import { podmanLack, startPodman } from "../../support/podman-engine.ts";
import { BOTTLE, runProgram } from "../../support/real-bottle.ts";

const isShort = process.env["SOAK"] === undefined;
const ways = [
  { name: "docker", lack: engineLack(), start: () => startEngine() },
  { name: "docker with gVisor", lack: gvisorLack(), start: () => startEngine({ gvisor: true }) },
  { name: "podman", lack: isShort ? "long: npm run soak -- docker" : podmanLack(), start: startPodman },
];
for (const { name, lack } of ways)
  if (lack !== undefined) console.warn(`SKIPPED: the demo on ${name}: ${lack}`);

describe.each(ways)("the demo on $name", ({ lack, start }) => {
  let engine: Pick<TestEngine, "env" | "close">;
  beforeAll(async () => {
    await claude.install(cacheOf(), () => {});
    if (lack === undefined) engine = await start();
  }, 600_000);
  afterAll(() => engine?.close());

  it.skipIf(lack !== undefined)(
    "holds in every line",
    async () => {
      const { code, stdout, stderr } = await runProgram(
        [process.execPath, BOTTLE, "demo", "--backend", "docker", "--json"],
        {
          env: { PATH: process.env["PATH"] ?? "", BOT_BOTTLE_CACHE: cacheOf(), ...engineVariables(engine) },
          timeoutMs: 200_000,
        },
      );
      expect(code, stdout + stderr).toBe(0);
      const { lines } = JSON.parse(stdout) as { lines: readonly { what: string; holds: boolean }[] };
      expect(lines.filter(({ holds }) => !holds)).toEqual([]);
      expect(lines[0]?.what).toBe("the agent (claude) answered");
      expect(lines).toHaveLength(11);
    },
    300_000,
  );
});
