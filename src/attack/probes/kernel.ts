/** I1, I7: the kernel that a guest may share with the host: calls that give privileges back, and code that few have walked. */
import { type Otherwise, type Probe, perl, sh } from "../probe.ts";

const REFUSED = ["EPERM", "EACCES", "ENOSYS", "ENOSPC", "EUSERS"] as const;
const NEEDS_ROOT: Otherwise = {
  without: ["hostRoot"],
  seen: ["EPERM", "EACCES"],
  because: "an ordinary user of the host may not either",
};
const CONTAINED: Otherwise = {
  seen: ["EPERM", "EACCES", "ENOSYS"],
  because: "whoever runs this is in a container or under a policy that may not either",
};
const UNFILTERED: Otherwise = {
  without: ["syscallFilter"],
  seen: ["got"],
  because: "there is no filter of system calls; what keeps the guest in does not stand on one",
};
const OWN_KERNEL: Otherwise = {
  without: ["sharedKernel"],
  seen: ["got"],
  because: "it is the virtual machine's own kernel, and no part of the host's",
};

const NO_TERMINAL: Otherwise = {
  without: ["ownFilter"],
  seen: ["got"],
  because:
    "an engine's default filter lets the call pass; no terminal of the operator's is there to be typed into",
};

const EVERY_PROCESS = "it looks at every process that there is";

const CLONE_NEWUSER = 0x1000_0000;
const CLONE_NEWNS = 0x2_0000;
const CLONE_NEWNET = 0x4000_0000;
const CLONE_NEWPID = 0x2000_0000;
const SIGCHLD = 17;

/** Of privileges: there is none, filter or not. */
function privilege(what: string, tries: string, text: string, more: Partial<Probe> = {}): Probe {
  return {
    id: `kernel-${what}`,
    invariant: "I7",
    group: "kernel",
    tries,
    attack: [perl(text)],
    refused: REFUSED,
    control: "outside",
    controlOtherwise: [NEEDS_ROOT, CONTAINED],
    otherwise: [OWN_KERNEL],
    ...more,
  };
}

/** Of rarely walked code: what a filter is for. */
function rare(what: string, tries: string, text: string, more: Partial<Probe> = {}): Probe {
  return privilege(what, tries, text, { otherwise: [OWN_KERNEL, UNFILTERED], ...more });
}

export const KERNEL: readonly Probe[] = [
  privilege(
    "user-namespace",
    "makes a user namespace, in which it would be root",
    `does("unshare", ${CLONE_NEWUSER})`,
  ),
  privilege(
    "user-namespace-clone",
    "makes one with a new process",
    `does("clone", ${CLONE_NEWUSER | SIGCHLD}, 0, 0, 0, 0)`,
  ),
  rare("clone3", "makes one by the call whose arguments no filter can read", 'reaches("clone3", 0, 0)'),
  privilege("mount-namespace", "makes a mount namespace", `does("unshare", ${CLONE_NEWNS})`),
  privilege("network-namespace", "makes a network namespace", `does("unshare", ${CLONE_NEWNET})`),
  privilege("process-namespace", "makes a process namespace", `does("unshare", ${CLONE_NEWPID})`),
  privilege(
    "join-namespace",
    "joins the namespaces of another process",
    'my $own = "/proc/$$/ns/mnt"; for my $p ("/proc/1", "/proc/$ENV{MARKED_PID}", "/proc/$$") { open(my $ns, "<", "$p/ns/uts") or next; my $came = call("setns", fileno($ns), 0); $came eq "ok" ? got($p) : refused($came, $p) } refused("EACCES", "no namespace can be opened")',
  ),
  privilege(
    "mount",
    "mounts a file system",
    'my ($n, $t, $k) = ("none", "/home", "tmpfs"); does("mount", $n, $t, $k, 0, 0)',
  ),
  rare("mount-new", "opens a file system by the newer calls", 'my $t = "tmpfs"; does("fsopen", $t, 0)'),
  rare("open-tree", "clones a mount", 'my $t = "/"; reaches("open_tree", -100, $t, 1)'),
  privilege(
    "unmount",
    "unmounts what hides something",
    // An outer world is no place to lose /proc in: MNT_EXPIRE of a busy mount does nothing.
    'my $t = "/proc"; my $c = call("umount2", $t, 4); $c =~ /^(ok|EAGAIN|EBUSY)$/ ? got("it may be unmounted: $c") : refused($c)',
    {
      refused: [...REFUSED, "EINVAL"],
      controlOtherwise: [
        {
          without: ["hostRoot"],
          seen: ["EINVAL", "EPERM"],
          because: "an ordinary user unmounts nothing that another has mounted",
        },
        CONTAINED,
      ],
    },
  ),
  privilege(
    "pivot-root",
    "moves its root",
    'my ($a, $b) = ("/nonexistent", "/nonexistent"); my $c = call("pivot_root", $a, $b); $c =~ /^(ENOENT|EINVAL)$/ ? got("the kernel looked: $c") : refused($c)',
  ),
  privilege("chroot", "changes its root", 'my $r = "/"; does("chroot", $r)'),
  privilege("set-user", "becomes user 0", 'does("setuid", 0)', {
    otherwise: [],
    refused: [...REFUSED, "EINVAL"],
  }),
  privilege("set-group", "becomes group 0", 'does("setgid", 0)', {
    otherwise: [],
    refused: [...REFUSED, "EINVAL"],
  }),
  privilege("set-groups", "joins other groups", 'my $g = pack("L", 4); does("setgroups", 1, $g)', {
    otherwise: [],
  }),
  {
    ...privilege("see-processes", "sees a process of the operator's", ""),
    invariant: "I1",
    attack: [
      sh(
        `for p in /proc/[0-9]*; do [ "$(tr '\\0' '\\n' <"$p/cmdline" 2>/dev/null | head -1)" = "$MARK" ] && got "its arguments can be read"; done; refused none`,
      ),
    ],
    refused: ["none", "EPERM", "ESRCH"],
    slow: EVERY_PROCESS,
  },
  {
    ...privilege("trace", "traces a process of the operator's", ""),
    invariant: "I1",
    attack: [
      perl(
        'open(my $f, "<", "/proc/$ENV{MARKED_PID}/cmdline") or refused("none"); my $c = <$f> // ""; index($c, $ENV{MARK}) >= 0 or refused("none"); does("ptrace", 16, $ENV{MARKED_PID} + 0, 0, 0)',
      ),
    ],
    refused: ["none", "EPERM", "ESRCH"],
  },
  {
    ...privilege(
      "environment-of-others",
      "reads the secrets in the environment of a process of the operator's",
      "",
    ),
    invariant: "I2",
    attack: [
      sh(
        `for p in /proc/[0-9]*; do tr '\\0' '\\n' <"$p/environ" 2>/dev/null | grep -q '^ATTACK_TOKEN=' && got "$p"; done; refused none`,
      ),
    ],
    refused: ["none"],
    slow: EVERY_PROCESS,
  },
  rare("keyrings", "looks into the operator's keyring", 'reaches("keyctl", 0, -3, 0)', {
    invariant: "I2",
    otherwise: [
      OWN_KERNEL,
      {
        without: ["syscallFilter"],
        seen: ["got"],
        because:
          "there is no filter of system calls, and keys of the operator's session can be found; bottle doctor says so",
      },
    ],
  }),
  rare(
    "add-key",
    "puts a key into one",
    'my ($t, $d, $p) = ("user", "bottle-attack", "x"); does("add_key", $t, $d, $p, 1, -2)',
  ),
  rare("bpf", "loads a program into the kernel", 'my $a = "\\0" x 128; reaches("bpf", 5, $a, 128)'),
  rare("perf", "watches the processor's counters", 'reaches("perf_event_open", 0, 0, -1, -1, 0)'),
  rare("io-uring", "does system calls that no filter sees", 'reaches("io_uring_setup", 1, 0)', {
    otherwise: [
      OWN_KERNEL,
      UNFILTERED,
      {
        without: ["ownFilter"],
        seen: ["got"],
        because: "the default filter of an older engine lets it pass",
      },
    ],
  }),
  rare("userfaultfd", "stops the kernel in the middle of a copy", 'does("userfaultfd", 0)'),
  rare("personality", "switches the layout of memory to a known one", 'does("personality", 0x0040000)', {
    // As gVisor says it: Linux takes every one.
    refused: [...REFUSED, "EINVAL"],
  }),
  rare("module", "loads a module", 'my $e = ""; reaches("init_module", 0, 0, $e)'),
  rare("module-file", "loads a module from a file", 'my $e = ""; reaches("finit_module", -1, $e, 0)'),
  rare("kexec", "starts another kernel", 'reaches("kexec_load", 0, 999999, 0, 0)'),
  rare("reboot", "restarts the machine", 'reaches("reboot", 0, 0, 0, 0)'),
  rare("clock", "sets the clock", 'reaches("clock_settime", 0, 0)'),
  rare(
    "handles",
    "opens files by their handles, past every mount",
    'reaches("open_by_handle_at", -100, 0, 0)',
  ),
  rare(
    "accounting",
    "switches on accounting of the machine's processes",
    'my $f = "/nonexistent"; reaches("acct", $f)',
  ),
  rare("swap", "takes away swap", 'my $f = "/nonexistent"; reaches("swapoff", $f)'),
  rare("kernel-log", "reads the kernel's messages", 'my $b = "\\0" x 4096; does("syslog", 3, $b, 4095)'),
  rare(
    "type-into-terminal",
    "types into the terminal that it was started from",
    // The kernel reads 32 bits of it: a filter that compares more lets the second through.
    'my $wide = call("ioctl", 0, 0x1_0000_5412, 0); $wide eq "EPERM" or got("the kernel looked: $wide"); reaches("ioctl", 0, 0x5412, 0)',
    { otherwise: [OWN_KERNEL, UNFILTERED, NO_TERMINAL] },
  ),
  rare("paste-into-console", "pastes into the console", 'reaches("ioctl", 0, 0x541c, 0)', {
    otherwise: [OWN_KERNEL, UNFILTERED, NO_TERMINAL],
  }),
  rare(
    "line-discipline",
    "puts a driver behind a terminal",
    // The one that is there already: which others a kernel has, or loads, is its own matter.
    'open(my $terminal, "+<", "/dev/ptmx") or cannot("a terminal: " . error_name()); my $n = pack("i", 0); does("ioctl", fileno($terminal), 0x5423, $n)',
    {
      // Of a terminal that is one, gVisor's kernel has no such call.
      refused: [...REFUSED, "ENOTTY"],
      otherwise: [
        OWN_KERNEL,
        UNFILTERED,
        {
          without: ["ownFilter"],
          seen: ["got"],
          because:
            "an engine's default filter lets the call pass, which leaves the host's own drivers to be reached, and loaded where its kernel does that for anybody",
        },
      ],
    },
  ),
  {
    ...privilege("no-new-privileges", "is a process that may gain privileges at all", ""),
    attack: [
      sh(
        'n=$(sed -n \'s/^NoNewPrivs:[[:space:]]*//p\' /proc/self/status); [ "$n" = 1 ] && refused set; got "NoNewPrivs is $n"',
      ),
    ],
    refused: ["set"],
  },
  {
    ...privilege("capabilities", "has a capability in any set, in any process", ""),
    attack: [
      sh(
        "c=$(cat /proc/[0-9]*/status 2>/dev/null | grep '^Cap' | grep -v '0000000000000000$' | sort -u | head -3 | tr '\\n' ' '); [ -n \"$c\" ] && got \"$c\"; refused none",
      ),
    ],
    refused: ["none"],
    controlOtherwise: [NEEDS_ROOT],
  },
];
