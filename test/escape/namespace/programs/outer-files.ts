/** In the outer world: secrets wherever an operator may have some, and what of it a guest can read, list or write. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import { GUEST } from "../../../../src/contract/backend.ts";
import { packagePath } from "../../../../src/lib/package-root.ts";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { sh, startBottle, temporaryFolder } from "../../../support/bottle-guest.ts";
import { outerArguments } from "../../../support/outer-network.ts";
import { type Probe, probeInside, probeOutside } from "../../../support/probing.ts";

export interface FilesReport {
  readonly probes: readonly { readonly probe: Probe; readonly outside: string; readonly inside: string }[];
  /** What only the host's root could do outside: no control as anybody else. */
  readonly kernel: FilesReport["probes"];
  /** Ways around that led somewhere. */
  readonly detours: readonly string[];
  /** Everything but the process table that the agent may write, as `find` sees it. */
  readonly writable: readonly string[];
  readonly top: readonly string[];
  readonly passwd: string;
  readonly environments: string;
  readonly mountsWithoutNosuid: readonly string[];
  /** Where writing is up to permissions alone: an ordinary operator's files are the guest's own outside. */
  readonly writableMounts: readonly string[];
  /** By path; `written` is what is expected of them. */
  readonly ownPlaces: readonly string[];
}

export interface FilesInput {
  /** On each of them the test has mounted an empty file system. */
  readonly folders: readonly string[];
  /** Is in /etc/shadow already. */
  readonly secret: string;
}

const {
  resultFile,
  input: { folders, secret: SECRET },
} = outerArguments<FilesInput>();

const folder = await temporaryFolder();
const operatorHome = join(folder, "operator");
const neighbour = await startBottle(namespaceBackend);
await sh(neighbour.guest, `echo '${SECRET}' >~/secret; echo '${SECRET}' >/tmp/secret`);

const secrets = [
  ...folders.map((path) => `${path}/secret`),
  join(operatorHome, ".ssh/id_ed25519"),
  join(operatorHome, ".bot-bottle/audit/host.key"),
  join(folder, "state/record.json"),
  join(folder, "run/token"),
  "/etc/shadow",
];
for (const path of secrets) {
  if (!path.startsWith("/etc/")) mkdirSync(join(path, ".."), { recursive: true });
  if (path !== "/etc/shadow") writeFileSync(path, SECRET);
}
process.env["BOT_BOTTLE_TEST_SECRET"] = SECRET;

const bottle = await startBottle(namespaceBackend, { folder, env: { SEEN: "by the agent" } });
const { guest } = bottle;

const probes: Probe[] = [
  ...secrets.map((path): Probe => ({ kind: "read", path })),
  { kind: "read", path: join(neighbour.stateDir, "home/secret") },
  { kind: "list", path: neighbour.stateDir },
  { kind: "list", path: operatorHome },
  { kind: "list", path: packagePath() },
  { kind: "list", path: "/sys" },
  { kind: "list", path: "/sys/class/net" },
  { kind: "read", path: `/proc/${process.pid}/environ` },
  { kind: "read", path: `/proc/${process.pid}/cmdline` },
  { kind: "list", path: `/proc/${process.pid}/fd` },
  { kind: "read", path: `/proc/${process.pid}/root/etc/hostname` },
  ...folders.map((path): Probe => ({ kind: "write", path: `${path}/new` })),
  { kind: "write", path: join(folder, "state/new") },
  { kind: "write", path: "/proc/sys/net/ipv4/ip_forward" },
];
/** The same secrets by a detour; that they are there is shown by the direct way outside. */
const DETOURS = [
  "/proc/self/root",
  "/proc/1/root",
  "/proc/1/cwd",
  "/proc/self/cwd/../../..",
  "/..",
  `${GUEST.home}/../..`,
  "/dev/fd/../../../..",
];
const detours = DETOURS.flatMap((root) =>
  secrets.map((path): Probe => ({ kind: "read", path: `${root}${path}` })),
);
const kernel: Probe[] = [
  { kind: "write", path: "/proc/sys/kernel/core_pattern" },
  { kind: "write", path: "/proc/sys/kernel/hostname" },
  { kind: "write", path: "/proc/sys/vm/overcommit_memory" },
  { kind: "write", path: "/proc/sys/user/max_user_namespaces" },
  ...["/proc/kcore", "/proc/kmsg"].map((path): Probe => ({ kind: "read", path })),
].filter((probe) => "path" in probe && existsSync(probe.path)) as Probe[];

const places = [GUEST.home, "/tmp", "/dev/shm"];
const notThere = [
  "/",
  "/usr",
  "/usr/bin",
  "/etc",
  "/opt",
  "/opt/bottle",
  "/opt/bottle/programs",
  "/home",
  "/bin",
  "/dev",
  "/dev/pts",
];
const writes = (paths: readonly string[]): Probe[] =>
  paths.map((path) => ({ kind: "write", path: join(path, ".new") }));

const detoured = await probeInside(guest, detours);
const [outside, inside, kernelOutside, kernelInside, own, others] = await Promise.all([
  probeOutside(probes),
  probeInside(guest, probes),
  probeOutside(kernel),
  probeInside(guest, kernel),
  probeInside(guest, writes(places)),
  probeInside(guest, writes(notThere)),
]);
const writable = await sh(
  guest,
  `find / \\( -path /proc -o -path /tmp -o -path /dev/shm -o -path ${GUEST.home} \\) -prune -o -writable ! -type l -print 2>/dev/null || :`,
);
const sideBySide = (asked: readonly Probe[], there: readonly string[], here: readonly string[]) =>
  asked.map((probe, i) => ({
    probe,
    outside: (there[i] ?? "").slice(0, 200),
    inside: (here[i] ?? "").slice(0, 200),
  }));

/** Of folders and files; a device's bytes are not the mount's. */
async function mountsWithout(option: string): Promise<readonly string[]> {
  const table =
    "while read -r _ _ _ _ at flags _; do [ -c $at ] || echo $at $flags; done </proc/self/mountinfo";
  return (await sh(guest, table))
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, flags = ""]) => !flags.split(",").includes(option))
    .map(([at = ""]) => at);
}

const report: FilesReport = {
  probes: sideBySide(probes, outside, inside),
  kernel: sideBySide(kernel, kernelOutside, kernelInside),
  detours: detours.flatMap((probe, i) =>
    /^[A-Z]+$/.test(detoured[i] ?? "") ? [] : [`${JSON.stringify(probe)}: ${detoured[i]}`],
  ),
  writable: [
    ...writable.split("\n"),
    ...notThere.filter((_, i) => others[i] === "written").map((path) => `${path}, by trying`),
  ],
  top: (await sh(guest, "ls -A /")).split("\n"),
  passwd: await sh(guest, "cut -d: -f1 /etc/passwd | paste -sd ' '"),
  environments: await sh(guest, "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"),
  mountsWithoutNosuid: await mountsWithout("nosuid"),
  writableMounts: await mountsWithout("ro"),
  ownPlaces: places.map((path, i) => `${path} ${own[i]}`),
};
await bottle.close();
await neighbour.close();
await removeTree(folder);
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);
