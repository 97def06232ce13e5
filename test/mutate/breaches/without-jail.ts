/**
 * Of probes that more than one wall keeps out: the guest is a process like any other of its operator's, root where they
 * are, in the same network, with the same files and processes before it.
 */
import { removesNothing } from "./aftermath.ts";
import type { Breach, BreachGroup } from "./breach.ts";

const JAIL = "src/jail/jail.ts";
const SETUP = "src/jail/setup-script.ts";
const BACKEND = "src/backends/namespace/backend.ts";

/** What a guest needs to be a guest is put into place; the rest is the host's. A /tmp of its own keeps what it tries there off this machine's. */
const WALK_IN = `exec 3>&-
if [ "$JAIL_NET" = none ]; then
  shift
  mkdir -p /home/node /opt/bottle
  mount -n --rbind /sys/home/node /home/node
  mount -n --rbind /sys/opt/bottle /opt/bottle
  umount -n -l /sys
  mount -n -t tmpfs none /tmp
  cd /home/node
  exec "$@"
fi
words=$1`;

/** Two bottles in one network: each listens at ports of its own. */
const OWN_PORTS = `const FIRST_PORT = 20_000 + (process.pid % 5_000) * 8;
export const SERVICE_PORTS: Readonly<`;

/** Its link is outside as well, where there are other listeners. */
const LISTENS_OUTSIDE: Breach["changes"] = [
  { file: BACKEND, find: "ownUser: true }", replace: "ownUser: false }" },
  { file: "src/contract/backend.ts", find: "export const SERVICE_PORTS: Readonly<", replace: OWN_PORTS },
  {
    file: "src/contract/backend.ts",
    find: "egress: { main: 9099, tls: 443, http: 80 },",
    replace: "egress: { main: FIRST_PORT, tls: FIRST_PORT + 1, http: FIRST_PORT + 2 },",
  },
  {
    file: "src/contract/backend.ts",
    find: '"git-gate": { main: 9420 },',
    replace: '"git-gate": { main: FIRST_PORT + 3 },',
  },
  {
    file: "src/contract/backend.ts",
    find: "supervise: { main: 9100 },",
    replace: "supervise: { main: FIRST_PORT + 4 },",
  },
];

const CHANGES: Breach["changes"] = [
  {
    file: JAIL,
    find: "JAIL_NET: spec.network,",
    replace: 'JAIL_NET: spec.name === "the guest" ? "none" : spec.network,',
  },
  {
    file: JAIL,
    find: 'if (spec.network === "own") namespaces.push("--net");',
    replace:
      'if (spec.name === "the guest") namespaces.splice(0, namespaces.length, "unshare", "--mount", "--propagation", "private");',
  },
  {
    file: SETUP,
    find: 'exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --pdeathsig KILL -- "$@"',
    replace:
      '[ "$JAIL_NET" != none ] || exec setpriv --pdeathsig KILL -- "$@"\nexec setpriv --reuid "$uid" --regid "$uid" --clear-groups --pdeathsig KILL -- "$@"',
  },
  { file: SETUP, find: "exec 3>&-\nwords=$1", replace: WALK_IN },
  { file: BACKEND, find: "      ...(seccomp && { seccomp }),\n", replace: "" },
  {
    file: BACKEND,
    find: "freezer: createFreezer(jail.initPid),",
    replace: "freezer: { freeze: async () => {}, thaw: async () => {} },",
  },
  {
    file: "src/backends/namespace/confinement.ts",
    find: "  for (const kind of NAMESPACES) {",
    replace: "  if (initPid > 0) return;\n  for (const kind of NAMESPACES) {",
  },
  {
    file: "src/keeper/launch.ts",
    find: "if (surprises.length === 0) return;",
    replace: "if (surprises.length >= 0) return;",
  },
  ...LISTENS_OUTSIDE,
  // Its commands in the work run where its operator's do.
  {
    file: "src/provision/workspace/guest-git.ts",
    find: '  ["core.fsmonitor", "false"],\n',
    replace: "",
  },
];

const of = (group: string, ...what: readonly string[]): readonly string[] =>
  what.map((each) => `${group}-${each}`);

const REACHED: readonly string[] = [
  ...of(
    "address",
    "public",
    "resolver-tls",
    "metadata",
    "container-metadata",
    "metadata-ipv6",
    "link-local",
    "lan-10",
  ),
  ...of(
    "address",
    "lan-192",
    "lan-172",
    "carrier",
    "gateway",
    "vm-gateway",
    "host-interfaces",
    "host-loopback",
  ),
  ...of(
    "address",
    "host-loopback-ipv6",
    "loopback-alias",
    "any-address",
    "mapped-address",
    "ipv6-public",
    "udp",
  ),
  ...of("address", "git-daemon", "abstract-socket", "engine-socket", "agent-socket", "neighbour"),
  ...of("name", "system", "getent", "udp", "udp-other", "tcp", "stub", "dot", "mdns", "configured"),
  ...of(
    "protocol",
    "raw",
    "raw-ipv6",
    "packet",
    "icmp",
    "udplite",
    "vsock",
    "netlink-audit",
    "interface",
    "route",
  ),
  ...of("protocol", "devices", "quic", "ephemeral-listener"),
  "push-directly",
];

const READ: readonly string[] = [
  ...of("file", "key", "manifest", "widen", "audit", "state", "folders", "shadow", "through-proc"),
  ...of(
    "file",
    "through-descriptors",
    "system",
    "hosts",
    "core-pattern",
    "kernel-settings",
    "kernel-memory",
    "sys",
  ),
  ...of("file", "cgroup-release", "devices", "device-node", "set-id", "become-root", "pulled-hook"),
  ...of("own", "ports", "control-socket", "neighbour-control", "control-token", "sockets-listed"),
];

const DONE: readonly string[] = of(
  "kernel",
  ...[
    "user-namespace",
    "user-namespace-clone",
    "clone3",
    "mount-namespace",
    "network-namespace",
    "process-namespace",
  ],
  ...["join-namespace", "mount-new", "open-tree", "unmount", "pivot-root", "chroot", "set-user", "set-group"],
  ...["set-groups", "see-processes", "trace", "environment-of-others", "keyrings", "add-key", "bpf", "perf"],
  ...[
    "io-uring",
    "userfaultfd",
    "personality",
    "reboot",
    "clock",
    "handles",
    "accounting",
    "swap",
    "kernel-log",
  ],
  ...["type-into-terminal", "paste-into-console", "no-new-privileges", "capabilities"],
);

/** A guest has listeners on the host where it is in the host's network. */
const LEFT = removesNothing(["listeners"]);

export const WITHOUT_JAIL: readonly BreachGroup[] = [
  {
    name: "without a jail",
    breaches: [
      {
        name: "the guest is a process of the host's",
        changes: CHANGES,
        probes: [...REACHED, ...READ, ...DONE],
      },
      { ...LEFT, changes: [...CHANGES, ...LEFT.changes] },
    ],
  },
  {
    // It covers the folder in which a guest's own programs are.
    name: "without a jail, last",
    breaches: [{ name: "the guest mounts what it likes", changes: CHANGES, probes: ["kernel-mount"] }],
  },
];

const SHARED_NETWORK: Breach["changes"] = [
  ...LISTENS_OUTSIDE,
  { file: BACKEND, find: 'network: "own",', replace: 'network: "host",' },
];
const UNCONFIRMED: Breach["changes"] = [
  {
    file: "src/backends/namespace/confinement.ts",
    find: "  for (const kind of NAMESPACES) {",
    replace: '  for (const kind of NAMESPACES.filter((each) => each !== "net")) {',
  },
];

/** Whoever comes up to this is not let begin (I7): by the kernel's word on its namespaces, and by what it can reach. */
export const NETWORK: readonly BreachGroup[] = [
  {
    name: "network",
    startFails: /the guest shares the host's net namespace/,
    breaches: [
      { name: "the guest shares its host's network", changes: SHARED_NETWORK, probes: ["address-lan-10"] },
    ],
  },
  {
    name: "network, unseen",
    startFails: /the guest is not isolated, so no agent was started/,
    breaches: [
      {
        name: "the guest shares its host's network, and the kernel is not asked",
        changes: [...SHARED_NETWORK, ...UNCONFIRMED],
        probes: ["address-lan-10"],
      },
    ],
  },
];
