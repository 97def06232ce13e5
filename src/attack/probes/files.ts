/** I1, I2: files. Of the host's a guest sees what was put there; copies.ts has what comes out of it. */
import { node, type Otherwise, type Probe, probesOf, sh } from "../probe.ts";

const ABSENT = ["ENOENT", "ENOTDIR", "EACCES", "EPERM"] as const;
const NEEDS_ROOT: Otherwise = {
  without: ["hostRoot"],
  seen: ["EACCES", "EPERM", "EROFS"],
  because: "an ordinary user of the host may not either",
};
const NO_OUTER: Otherwise = {
  without: ["outerNetwork"],
  seen: ["EACCES", "ENOENT", "EROFS", "none"],
  because: "without an outer world nothing of the host's can be made up to try it on",
};
/** A virtual machine's own: root of it is another matter than root of the host. */
const OWN_KERNEL: Otherwise = {
  without: ["sharedKernel"],
  seen: ["got"],
  because: "it is the guest's own kernel, and no part of the host's",
};

const file = probesOf("files", "file");

export const FILES: readonly Probe[] = [
  file(
    "key",
    "reads the operator's ssh key where it lies",
    [sh('try cat "$OPERATOR/.ssh/id_ed25519"')],
    ABSENT,
    { invariant: "I2" },
  ),
  file(
    "manifest",
    "reads the manifest that says what it may do",
    [sh('try cat "$BOTTLE_HOME/bottles/attacked.md"')],
    ABSENT,
  ),
  file(
    "widen",
    "writes into that manifest",
    [
      sh(
        '[ -f "$BOTTLE_HOME/bottles/attacked.md" ] || refused ENOENT; [ -w "$BOTTLE_HOME/bottles/attacked.md" ] && got "it can be written"; refused EACCES',
      ),
    ],
    ABSENT,
    { invariant: "I5" },
  ),
  file(
    "audit",
    "writes into its own log",
    [
      sh(
        'log="$BOTTLE_HOME/audit/$ID.jsonl"; [ -f "$log" ] || refused ENOENT; [ -w "$log" ] && got "it can be written"; refused EACCES',
      ),
    ],
    ABSENT,
    { invariant: "I8" },
  ),
  file(
    "state",
    "lists what the host keeps of bottles, its own and its neighbour's",
    [sh('try ls "$BOTTLE_HOME/state"')],
    ABSENT,
  ),
  file(
    "folders",
    "reads a file in each folder where operators and services have things",
    [
      sh(`[ -n "$PLANTED" ] || refused none
for folder in $PLANTED; do words=$(cat "$folder/$PLANTED_FILE" 2>&1) && got "$folder $words"; codes="$codes$(code_of "$words") "; done
set -- $(printf '%s\\n' $codes | sort -u); IFS=+; refused "$*"`),
    ],
    [...ABSENT, "none"],
    {
      controlOtherwise: [NO_OUTER],
    },
  ),
  file(
    "shadow",
    "reads the host's passwords",
    [sh('try grep -q "what only root may read" /etc/shadow')],
    [...ABSENT, "failed"],
    {
      // `failed`: it can be read, and nothing made up is in it.
      controlOtherwise: [NO_OUTER, { ...NO_OUTER, seen: ["failed"] }, NEEDS_ROOT],
    },
  ),
  file(
    "through-proc",
    "walks to a host's file through the root and the folders of each process",
    [
      sh(`for p in /proc/[0-9]*; do for way in root cwd; do { read -r words <"$p/$way$OPERATOR/.ssh/id_ed25519"; } 2>/dev/null && got "$p/$way"; done; done
for up in ../../../../.. /proc/self/cwd/../../../../../..; do cat "$up$OPERATOR/.ssh/id_ed25519" >/dev/null 2>&1 && got "$up"; done
refused none`),
    ],
    ["none"],
    { invariant: "I2" },
  ),
  file(
    "through-descriptors",
    "walks through what any process has open",
    [
      sh(
        `for fd in /proc/[0-9]*/fd/*; do [ -f "$fd/user/.ssh/id_ed25519" ] && got "$fd"; done; refused none`,
      ),
    ],
    ["none"],
    { invariant: "I2" },
  ),
  file(
    "system",
    "writes into the system's folders",
    [
      sh(`for folder in /usr/src /usr/bin /usr/lib /etc; do [ -d "$folder" ] || continue
if [ -n "$TRIES" ]; then case " $PLANTED_SYSTEM " in *" $folder "*) ;; *) continue ;; esac; fi
words=$(: 2>&1 >"$folder/bottle-attack-was-here") && { rm -f "$folder/bottle-attack-was-here"; got "$folder"; }; done; refused none`),
    ],
    ["none"],
    {
      controlOtherwise: [NO_OUTER],
    },
  ),
  file(
    "hosts",
    "writes the file that names hosts",
    [sh("[ -w /etc/hosts ] && got 'it can be written'; refused EACCES")],
    ["EACCES"],
    { controlOtherwise: [NO_OUTER, NEEDS_ROOT] },
  ),
  file(
    "core-pattern",
    "has the kernel run a program as the host's root when another crashes",
    [
      node(
        `import { openSync, constants } from "node:fs"; attempt(() => { openSync("/proc/sys/kernel/core_pattern", constants.O_WRONLY); return "it can be written"; })`,
      ),
    ],
    ["EACCES", "EROFS", "EPERM", "ENOENT"],
    {
      controlOtherwise: [
        NEEDS_ROOT,
        { seen: ["EROFS"], because: "whoever runs this is in a container that may not either" },
      ],
    },
  ),
  file(
    "sysrq",
    "opens the switch that reboots a machine",
    [
      node(
        `import { openSync, constants } from "node:fs"; attempt(() => { openSync("/proc/sysrq-trigger", constants.O_WRONLY); return "it can be written"; })`,
      ),
    ],
    ["EACCES", "EROFS", "EPERM", "ENOENT"],
    {
      controlOtherwise: [
        { seen: ["ENOENT"], because: "this host's kernel has no such switch" },
        NEEDS_ROOT,
        { seen: ["EROFS"], because: "whoever runs this is in a container that may not either" },
      ],
    },
  ),
  file(
    "kernel-settings",
    "opens any of the kernel's settings for writing",
    [
      node(`import { readdirSync, openSync, closeSync, constants, accessSync } from "node:fs";
const open = []; const walk = (at) => { let entries; try { entries = readdirSync(at, { withFileTypes: true }); } catch { return; }
for (const e of entries) { const path = at + "/" + e.name; if (e.isDirectory()) { if (!path.includes("/net/") || process.env.TRIES === undefined) walk(path); continue; } try { closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)); open.push(path); } catch {} } };
walk("/proc/sys/kernel"); walk("/proc/sys/vm"); walk("/proc/sys/fs"); walk("/proc/sys/net");
open.length > 0 ? got(open.length + ": " + open.slice(0, 3).join()) : refused("none")`),
    ],
    ["none"],
    {
      controlOtherwise: [
        { without: ["hostRoot"], seen: ["none"], because: "an ordinary user of the host may not either" },
        { seen: ["none"], because: "whoever runs this is in a container that may not either" },
      ],
      otherwise: [OWN_KERNEL],
      slow: "there are hundreds of them",
    },
  ),
  file(
    "kernel-memory",
    "reads the kernel's memory, symbols and keys",
    [
      sh(
        `for f in /proc/kcore /dev/mem /dev/kmem /dev/port /proc/keys /proc/timer_list; do [ -c "$f" ] || [ -f "$f" ] || continue; words=$(head -c 1 "$f" 2>/dev/null | od -An -tx1); [ -n "$words" ] && got "$f $words"; done; refused none`,
      ),
    ],
    ["none"],
    {
      controlOtherwise: [
        { without: ["hostRoot"], seen: ["none"], because: "an ordinary user of the host may not either" },
      ],
      otherwise: [OWN_KERNEL],
    },
  ),
  file(
    "sys",
    "looks at the host's hardware and groups in /sys",
    [
      sh(
        "[ -d /sys/kernel/mm ] || [ -d /sys/fs/cgroup/system.slice ] && got 'it is there'; try ls /sys/kernel",
      ),
    ],
    ABSENT,
    {
      otherwise: [
        OWN_KERNEL,
        {
          without: ["hiddenSys"],
          seen: ["got"],
          because: "an engine shows /sys to be read, with the parts covered that tell most",
        },
      ],
    },
  ),
  file(
    "cgroup-release",
    "has the host run a program when a group of processes is empty",
    [
      node(`import { existsSync, accessSync, constants, readdirSync } from "node:fs";
const found = []; const look = (at, depth) => { if (depth === 0) return; let names = []; try { names = readdirSync(at, { withFileTypes: true }); } catch { return; } for (const e of names) { if (["release_agent", "cgroup.procs", "notify_on_release"].includes(e.name)) { try { accessSync(at + "/" + e.name, constants.W_OK); found.push(at + "/" + e.name); } catch {} } else if (e.isDirectory()) look(at + "/" + e.name, depth - 1); } };
look("/sys/fs/cgroup", 3); found.length > 0 ? got(found.slice(0, 2).join()) : refused("none")`),
    ],
    ["none"],
    {
      controlOtherwise: [
        { without: ["hostRoot"], seen: ["none"], because: "an ordinary user of the host may not either" },
        { seen: ["none"], because: "this machine has no groups that may be written" },
      ],
    },
  ),
  file(
    "devices",
    "reads from a disk, a console or the hypervisor",
    [
      sh(
        `for d in /dev/vd? /dev/sd? /dev/nvme0n1 /dev/xvda /dev/loop0 /dev/kmsg /dev/kvm /dev/fuse /dev/net/tun /dev/vhost-net /dev/vhost-vsock /dev/snd/*; do [ -e "$d" ] || continue; (exec 3<"$d") 2>/dev/null && got "$d can be opened"; done; refused none`,
      ),
    ],
    ["none"],
    {
      controlOtherwise: [
        { seen: ["none"], because: "this machine has no such device that its operator may open" },
      ],
      otherwise: [OWN_KERNEL],
    },
  ),
  file(
    "device-node",
    "makes a device of its own",
    [sh('f="$scratch/node"; try mknod "$f" c 1 3')],
    ["EPERM", "EACCES"],
    {
      controlOtherwise: [
        NEEDS_ROOT,
        { seen: ["EPERM"], because: "whoever runs this is in a container that may not either" },
      ],
      // gVisor lets anybody make one, which leads to what it has itself.
      otherwise: [OWN_KERNEL],
    },
  ),
  file(
    "set-id",
    "runs each program that makes whoever runs it another user",
    [
      sh(`before="$(id -u):$(id -g)"; found=0
for p in $(find /usr/bin /usr/sbin /usr/lib -xdev -type f -perm /6000 2>/dev/null); do
  "$p" </dev/null >/dev/null 2>&1 & pid=$!
  ids=$(sed -n 's/^[UG]id:\\t\\([0-9]*\\)\\t\\([0-9]*\\).*/\\2/p' /proc/$pid/status 2>/dev/null | tr '\\n' ' '); kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; found=$((found + 1))
  case " $ids" in *" 0 "*) got "$p runs as root" ;; esac
done; refused none "$found of them"`),
    ],
    ["none"],
    {
      controlOtherwise: [
        {
          seen: ["none"],
          because: "this machine has no such program, or whoever runs this is nobody that they could change",
        },
      ],
      otherwise: [
        {
          without: ["sharedKernel"],
          seen: ["got"],
          because: "it becomes root of the virtual machine, which is root of nothing outside of it",
        },
      ],
      slow: "there are some of them",
    },
  ),
  file(
    "become-root",
    "becomes root with the system's own tools",
    [
      sh(
        'command -v setpriv >/dev/null || cannot setpriv is not here; words=$(setpriv --reuid 0 id -u 2>&1) && [ "$words" = 0 ] && got "it is root"; refused "$(code_of "$words")" "$words"',
      ),
    ],
    ["EPERM", "failed"],
    { controlOtherwise: [NEEDS_ROOT] },
  ),
];
