/**
 * Podman for one test file, with storage, volumes and networks of its own, so that nobody else's are touched and none
 * are left. It has no daemon; what it runs ends with the bottles.
 */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, runOk } from "../../src/lib/processes.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { baseArchive, hasProgram, type TestEngine, unmountBelow } from "./docker-engine.ts";

/** What podman would raise for its containers; a root without that right cannot. */
const MOST_FILES = 10_000;
const MOST_PROCESSES = 30_000;

/** Why this machine cannot run it. */
export function podmanLack(): string | undefined {
  if (process.getuid?.() !== 0) return "podman of the tests' own is run by root";
  for (const program of ["podman", "netavark", "mmdebstrap"]) {
    if (!hasProgram(program) && !isHelper(program)) return `${program} is not installed`;
  }
  return undefined;
}

/** Podman's helpers are not on the PATH. */
function isHelper(program: string): boolean {
  return hasProgram(program, ["/usr/lib/podman", "/usr/libexec/podman"]);
}

export async function startPodman(): Promise<Omit<TestEngine, "processes" | "revive">> {
  // Not in /tmp: whoever looks through that for what a bottle left there would read whole images.
  const folder = await mkdtemp("/var/lib/bbp-");
  const path = (name: string): string => join(folder, name);
  await mkdir(path("networks"));
  const storage = [
    "[storage]",
    'driver = "overlay"',
    `graphroot = "${path("graph")}"`,
    `runroot = "${path("run")}"`,
  ];
  const containers = [
    "[engine]",
    'runtime = "runc"',
    'cgroup_manager = "cgroupfs"',
    'events_logger = "file"',
    `static_dir = "${path("libpod")}"`,
    `tmp_dir = "${path("tmp")}"`,
    `volume_path = "${path("volumes")}"`,
    "[network]",
    'network_backend = "netavark"',
    `network_config_dir = "${path("networks")}"`,
    "[containers]",
    `default_ulimits = ["nofile=${MOST_FILES}:${MOST_FILES}", "nproc=${MOST_PROCESSES}:${MOST_PROCESSES}"]`,
  ];
  await writeFile(path("storage.conf"), `${storage.join("\n")}\n`);
  await writeFile(path("containers.conf"), `${containers.join("\n")}\n`);
  const base = "localhost/test-base:latest";
  const env = {
    ...process.env,
    CONTAINERS_STORAGE_CONF: path("storage.conf"),
    CONTAINERS_CONF: path("containers.conf"),
    BOT_BOTTLE_ENGINE: "podman",
    BOT_BOTTLE_IMAGE_BASE: base,
  };
  const close = async (): Promise<void> => {
    for (const words of [
      ["rm", "--all", "--force", "--time", "0"],
      ["network", "prune", "--force"],
    ])
      await run(["podman", ...words], { env });
    await unmountBelow(folder);
    await removeTree(folder);
  };
  try {
    const path = ["--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin"];
    await runOk(["podman", "import", ...path, await baseArchive(), base], { env, timeoutMs: 120_000 });
  } catch (error) {
    await close();
    throw error;
  }
  return { program: "podman", env, base, close };
}

/** Interfaces of this host, by name: each network of podman's is one. */
export function interfaces(): readonly string[] {
  return readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .slice(2)
    .flatMap((line) => line.trim().split(":")[0] || [])
    .sort();
}
