/** The qemu backend behaves as every backend must. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { GUEST } from "../../../src/contract/backend.ts";
import type { TestBottle } from "../../support/bottle-guest.ts";
import { processesOf } from "../../support/namespace-host.ts";
import { vmLack } from "../../support/vm-host.ts";
import { describeBackend } from "./behaviour.ts";

const lack = await vmLack();

describeBackend(
  {
    backend: qemuBackend,
    hasRoot: true,
    survivesItsAgent: true,
    room: { folder: GUEST.home },
    memory: "limited",
    nests: "its kernel is its own",
    // Its command server, which listens to who knows the link's secret.
    ownPorts: [1],
    link: {
      async lose({ guest }) {
        // The shell's own link goes with it.
        const kill = "grep -lx dropbear /proc/[0-9]*/comm | cut -d/ -f3 | xargs kill -9";
        const { exit } = await guest.exec(["sh", "-c", kill], { user: "root", cwd: "/" });
        await exit;
      },
    },
    async crash(bottle) {
      for (const pid of processesOf(bottle)) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {}
      }
    },
    traces,
  },
  lack,
);

/** Looked for by the bottle's folders alone. */
async function traces(bottle: TestBottle): Promise<readonly string[]> {
  const left = processesOf(bottle).map((pid) => `process ${pid}`);
  if (existsSync(join(bottle.stateDir, "root"))) left.push("root");
  left.push(...readdirSync(bottle.runtimeDir));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  left.push(...mounts.filter((line) => line.includes(bottle.folder)));
  return left;
}
