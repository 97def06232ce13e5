/** Of what keeps a guest in, one wall at a time. */
import { IMPOSTORS } from "../../../src/attack/world/impostors.ts";
import { removesNothing } from "./aftermath.ts";
import { type Breach, breach } from "./breach.ts";

export const JAIL: readonly Breach[] = [
  breach("the filter of system calls refuses nothing", "src/jail/seccomp.ts", "    ...blocks(arch),\n", "", [
    ...[
      "clone3",
      "keyrings",
      "io-uring",
      "personality",
      "clock",
      "type-into-terminal",
      "paste-into-console",
      "line-discipline",
      "handles",
    ].map((what) => `kernel-${what}`),
    ...["multipath-socket", "netlink-audit", "udplite-socket", "vsock"].map((what) => `protocol-${what}`),
  ]),
  breach(
    "the filter compares more of a call than the kernel reads",
    "src/jail/seccomp.ts",
    '    case "one-of":\n      return [\n        loaded,',
    '    case "one-of":\n      return [\n        load(OFFSET_ARGUMENTS + 8 * condition.argument + 4),\n        jump("eq", 0, 0, condition.values.length + 1 + skip),\n        loaded,',
    ["kernel-type-into-terminal"],
  ),
  {
    name: "capabilities are kept, and may be gained",
    changes: [
      {
        file: "src/jail/setup-script.ts",
        find: "  setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all --",
        replace: "  setpriv --inh-caps=+sys_admin,+sys_chroot --ambient-caps=+sys_admin,+sys_chroot --",
      },
      {
        file: "src/backends/namespace/confinement.ts",
        find: "  const processes = [initPid, ...descendants(initPid)];",
        replace: "  const processes: number[] = [];\n  if (initPid > 0) return;\n  descendants(initPid);",
      },
      // bubblewrap takes away what perl does not.
      {
        file: "src/backends/namespace/probe.ts",
        find: '    { kind: "bubblewrap", path: programOnPath("bwrap", FOLDERS) },\n',
        replace: "",
      },
      {
        file: "src/jail/setup-script.ts",
        find: 'echo "$JAIL_USERNS" >/proc/sys/user/max_user_namespaces',
        replace: "echo 100 >/proc/sys/user/max_user_namespaces",
      },
    ],
    probes: [
      "kernel-capabilities",
      "kernel-user-namespace",
      "kernel-user-namespace-clone",
      "kernel-chroot",
      "kernel-mount-namespace",
      "kernel-network-namespace",
      "kernel-process-namespace",
    ],
  },
  breach(
    "the host's processes are shown",
    "src/jail/setup-script.ts",
    "mount -n -t proc -o nosuid,nodev,noexec proc proc\n",
    "mount -n --rbind /proc proc\n",
    ["kernel-see-processes"],
  ),
  {
    name: "the guest's network has somewhere to go",
    changes: [
      {
        file: "src/jail/setup-script.ts",
        find: "  ip link set lo up\n",
        replace: `  ip link set lo up\n  for a in ${Object.values(IMPOSTORS).join(" ")}; do ip addr add "$a" dev lo || :; done\n`,
      },
      {
        file: "src/keeper/launch.ts",
        find: "if (surprises.length === 0) return;",
        replace: "if (surprises.length >= 0) return;",
      },
    ],
    probes: [
      ...[
        ...[
          "public",
          "resolver-tls",
          "metadata",
          "container-metadata",
          "metadata-ipv6",
          "link-local",
          "lan-10",
          "lan-192",
        ],
        ...[
          "lan-172",
          "carrier",
          "gateway",
          "vm-gateway",
          "mapped-address",
          "ipv6-public",
          "udp",
          "git-daemon",
        ],
      ].map((what) => `address-${what}`),
      ...["push-directly", "protocol-quic"],
      // It is begun although it was not found isolated.
      "operator-verified",
    ],
  },
  breach(
    "a name server is named",
    "src/backends/name-files.ts",
    '"resolv.conf": "# There is no DNS in a bottle; names are resolved by its egress proxy.\\n"',
    '"resolv.conf": "nameserver 1.1.1.1\\n"',
    ["name-configured"],
  ),
  breach(
    "a folder of the host's is shown",
    "src/backends/namespace/root-layout.ts",
    "      ...terminalLibrary(),",
    '      ...terminalLibrary(),\n      { from: "/srv", to: "/srv" },',
    ["file-folders"],
  ),
  {
    name: "nothing is limited",
    changes: [
      {
        file: "src/backends/namespace/backend.ts",
        find: "const TMP_BYTES = 1024 ** 3;",
        replace: "const TMP_BYTES = 16 * 1024 ** 3;",
      },
      {
        file: "src/backends/namespace/limits.ts",
        find: "return rows.filter((row)",
        replace: "return rows.slice(rows.length).filter((row)",
      },
      {
        file: "src/jail/resource-limits.ts",
        find: "return hard === undefined ? wanted :",
        replace: "return hard !== undefined || wanted > 0 ? Number(hard ?? 1_000_000) :",
      },
    ],
    probes: ["resource-processes", "resource-memory", "resource-shared-memory", "resource-temporary-files"],
  },
  breach(
    "a process may raise its number of open files",
    "src/jail/jail.ts",
    'add("nofile", hardLimit("open files", openFiles));',
    'options.push(["--nofile=", openFiles, ":"].join(""));',
    ["resource-descriptors"],
  ),
  {
    name: "every refusal is told by itself, and whole",
    changes: [
      {
        file: "src/sidecars/egress/limits.ts",
        find: "eventsPerSecond: 100,",
        replace: "eventsPerSecond: 1_000_000,",
      },
      {
        file: "src/sidecars/egress/denial.ts",
        find: "const SHOWN_PATH_LENGTH = 512;",
        replace: "const SHOWN_PATH_LENGTH = 8_192;",
      },
    ],
    probes: ["resource-log-flood"],
  },
  removesNothing([
    ...["processes", "namespaces", "mounts", "sockets", "interfaces", "files", "state"],
    ...["listed", "control-socket", "daemon"],
  ]),
];
