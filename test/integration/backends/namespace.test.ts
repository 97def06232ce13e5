/** The namespace backend behaves as every backend must. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { limitable } from "../../../src/backends/namespace/limits.ts";
import type { TestBottle } from "../../support/bottle-guest.ts";
import { processesOf } from "../../support/namespace-host.ts";
import { describeBackend } from "./behaviour.ts";

describeBackend({
  backend: namespaceBackend,
  hasRoot: false,
  room: { folder: "/tmp" },
  memory: limitable().includes("memory")
    ? "limited"
    : { not: "there is no cgroup in which this user may limit memory" },
  link: {
    not: "its listeners are in its own network: each is lost with its sidecar alone, which is started again",
  },
  async crash(bottle) {
    // The first one takes the others with it.
    for (const pid of processesOf(bottle)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {}
    }
  },
  traces,
});

/** Looked for by the bottle's name and folders alone. */
async function traces(bottle: TestBottle): Promise<readonly string[]> {
  const left = processesOf(bottle).map((pid) => `process ${pid}: ${commandLine(pid)}`);
  for (const path of ["root", "egress-root"]) {
    if (existsSync(join(bottle.stateDir, path))) left.push(path);
  }
  left.push(...readdirSync(bottle.runtimeDir));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  left.push(...mounts.filter((line) => line.includes(bottle.folder)));
  left.push(
    ...(await namespaceBackend.enumerate())
      .map(({ name }) => name)
      .filter((name) => name.includes(bottle.id)),
  );
  return left;
}

function commandLine(pid: number): string {
  try {
    return `${readlinkSync(`/proc/${pid}/exe`)} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 100)}`;
  } catch {
    return "ended";
  }
}
