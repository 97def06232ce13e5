/**
 * The system-call filter of a guest that shares the host's kernel, for `bubblewrap --seccomp FD`.
 *
 * It is the second wall. The jail already took every capability and the right to new namespaces away;
 * the filter keeps a guest from the kernel's rarely walked code, where the bugs are that give them back.
 * Hence a deny list with default allow: what a compiler, a debugger or a browser needs still works, and
 * nothing here is the only thing between the guest and the host.
 *
 * It fails closed where numbers could lie: another architecture's calls (32-bit x86 through int 0x80, whose
 * numbers mean other calls) kill the process, x32's do not exist. Arguments that the kernel reads as `int`
 * are compared as 32 bits: a comparison of 64 would be passed by setting a bit that the kernel drops.
 * Strings and structs behind pointers cannot be judged, therefore clone3 does not exist (glibc and Go fall
 * back to clone, whose flags can). ptrace and process_vm_* stay: their reach is the guest's own processes.
 */
import { type SeccompArch, type SyscallName, syscallNumber } from "./syscalls.ts";

/** Same numbers on both architectures (include/uapi/asm-generic/errno*.h). */
export const ERRNO = {
  EPERM: 1,
  ENOSYS: 38,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EAFNOSUPPORT: 97,
} as const;
type ErrnoName = keyof typeof ERRNO;

/** A test of an argument's low 32 bits. */
type Condition =
  | { readonly argument: number; readonly is: "one-of" | "none-of"; readonly values: readonly number[] }
  | { readonly argument: number; readonly is: "any-bit-of"; readonly mask: number };

/** The call fails with `errno` when all conditions hold; without conditions, always. */
interface Rule {
  readonly calls: readonly SyscallName[];
  readonly errno: ErrnoName;
  readonly when?: readonly Condition[];
}

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}. In clone, NEWTIME's bit belongs to the exit signal. */
export const CLONE_NEW = 0x7e02_0000;
/** What unshare may still split off: CLONE_{VM,FS,FILES,SIGHAND,THREAD,SYSVSEM}. An allow-list, so that a future namespace is refused. */
const UNSHARE_HARMLESS = 0x0005_0f00;

export const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 } as const;
export const NETLINK_ROUTE = 0;
/** What is no stream, datagram or raw socket: SOCK_{RDM,SEQPACKET,DCCP} have the one bit, SOCK_PACKET the other; flags have neither. */
export const STRANGE_SOCKETS = 0x4 | 0x8;
/** IPPROTO_{IP,ICMP,TCP,UDP,ICMPV6}. Not SCTP, DCCP, L2TP, UDP-Lite and MPTCP, where bugs were that give root; programs do without. */
export const IP_PROTOCOLS = [0, 1, 6, 17, 58];

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the question "which am I". Others switch protections off (ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC). */
const PERSONALITIES = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/**
 * TIOCSTI types into a terminal as if its owner had; TIOCLINUX pastes into a console; TIOCSETD puts a modem's or a radio's
 * driver behind any terminal, loaded on demand, of which several had bugs that give root.
 */
const TERMINAL_IOCTLS = [0x5412, 0x541c, 0x5423];

const RULES: readonly Rule[] = [
  // The file system's shape: the allow-list root stays what the launch made it.
  {
    calls: ["mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr"],
    errno: "EPERM",
  },
  { calls: ["fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"], errno: "EPERM" },
  { calls: ["name_to_handle_at", "open_by_handle_at"], errno: "EPERM" },
  { calls: ["quotactl", "quotactl_fd", "acct", "swapon", "swapoff"], errno: "EPERM" },

  // Namespaces: a new user namespace has every capability inside, and with them most of the kernel.
  { calls: ["setns"], errno: "EPERM" },
  {
    calls: ["unshare"],
    errno: "EPERM",
    when: [{ argument: 0, is: "any-bit-of", mask: ~UNSHARE_HARMLESS >>> 0 }],
  },
  { calls: ["clone"], errno: "EPERM", when: [{ argument: 0, is: "any-bit-of", mask: CLONE_NEW }] },
  { calls: ["clone3"], errno: "ENOSYS" },

  // Large, young or little-tested kernel interfaces. io_uring would also do calls that no filter sees.
  { calls: ["io_uring_setup", "io_uring_enter", "io_uring_register"], errno: "ENOSYS" },
  { calls: ["bpf", "perf_event_open", "userfaultfd"], errno: "EPERM" },
  // Keyrings are not namespaced by mount or pid: the operator's own keys are there.
  { calls: ["keyctl", "add_key", "request_key"], errno: "EPERM" },
  { calls: ["modify_ldt", "iopl", "ioperm"], errno: "EPERM" },
  { calls: ["personality"], errno: "EPERM", when: [{ argument: 0, is: "none-of", values: PERSONALITIES }] },

  // The host's kernel, clock and console are not the guest's.
  { calls: ["kexec_load", "kexec_file_load", "reboot"], errno: "EPERM" },
  { calls: ["init_module", "finit_module", "delete_module"], errno: "EPERM" },
  { calls: ["settimeofday", "clock_settime", "adjtimex", "clock_adjtime"], errno: "EPERM" },
  { calls: ["syslog", "vhangup"], errno: "EPERM" },
  { calls: ["ioctl"], errno: "EPERM", when: [{ argument: 1, is: "one-of", values: TERMINAL_IOCTLS }] },
  { calls: ["create_module", "query_module", "get_kernel_syms", "nfsservctl"], errno: "ENOSYS" },
  { calls: ["lookup_dcookie", "uselib", "_sysctl"], errno: "ENOSYS" },

  // Other families load modules on demand and know nothing of network namespaces (vsock reaches the
  // hypervisor). Of netlink only route stays: resolvers and interface lists ask it.
  {
    calls: ["socket", "socketpair"],
    errno: "EAFNOSUPPORT",
    when: [{ argument: 0, is: "none-of", values: Object.values(AF) }],
  },
  {
    calls: ["socket", "socketpair"],
    errno: "ESOCKTNOSUPPORT",
    when: [
      { argument: 0, is: "one-of", values: [AF.INET, AF.INET6] },
      { argument: 1, is: "any-bit-of", mask: STRANGE_SOCKETS },
    ],
  },
  {
    calls: ["socket", "socketpair"],
    errno: "EPROTONOSUPPORT",
    when: [
      { argument: 0, is: "one-of", values: [AF.INET, AF.INET6] },
      { argument: 2, is: "none-of", values: IP_PROTOCOLS },
    ],
  },
  {
    calls: ["socket", "socketpair"],
    errno: "EPROTONOSUPPORT",
    when: [
      { argument: 0, is: "one-of", values: [AF.NETLINK] },
      { argument: 2, is: "none-of", values: [NETLINK_ROUTE] },
    ],
  },
];

/**
 * The program as the kernel takes it: an array of `struct sock_filter`, little endian.
 * A pure function of `arch`; the same bytes on every call.
 */
export function seccompProgram(arch: SeccompArch): Buffer {
  const program: Instruction[] = [
    load(OFFSET_ARCH),
    jump("eq", AUDIT_ARCH[arch], 1, 0),
    answer(KILL_PROCESS),
    load(OFFSET_NR),
    // Also catches -1, with which a tracer asks the kernel to skip a call.
    ...(arch === "x64" ? [jump("ge", X32_SYSCALL_BIT, 0, 1), answer(errnoAnswer("ENOSYS"))] : []),
    ...blocks(arch),
    answer(ALLOW),
  ];
  return encode(program);
}

/** One block a call. A block loads arguments over the number, so whatever enters it must end in it. */
function blocks(arch: SeccompArch): Instruction[] {
  const rulesOf = new Map<SyscallName, Rule[]>();
  for (const rule of RULES) {
    for (const call of rule.calls) rulesOf.set(call, [...(rulesOf.get(call) ?? []), rule]);
  }
  const out: Instruction[] = [];
  for (const [call, rules] of rulesOf) {
    const number = syscallNumber(arch, call);
    if (number === null) continue;
    const always = rules.some((rule) => rule.when === undefined);
    const body = [...rules.flatMap(ruleCode), ...(always ? [] : [answer(ALLOW)])];
    out.push(jump("eq", number, 0, body.length), ...body);
  }
  return out;
}

/** Falls through to what comes after it when a condition does not hold. */
function ruleCode(rule: Rule): Instruction[] {
  let code: Instruction[] = [answer(errnoAnswer(rule.errno))];
  for (const condition of [...(rule.when ?? [])].reverse()) {
    code = [...conditionCode(condition, code.length), ...code];
  }
  return code;
}

/** Falls through when the condition holds, else jumps over the `skip` instructions that follow. */
function conditionCode(condition: Condition, skip: number): Instruction[] {
  const loaded = load(OFFSET_ARGUMENTS + 8 * condition.argument);
  switch (condition.is) {
    case "any-bit-of":
      return [loaded, jump("set", condition.mask, 0, skip)];
    case "none-of":
      return [
        loaded,
        ...condition.values.map((value, i, all) => jump("eq", value, all.length - 1 - i + skip, 0)),
      ];
    case "one-of":
      return [
        loaded,
        ...condition.values.map((value, i, all) =>
          jump("eq", value, all.length - 1 - i, i === all.length - 1 ? skip : 0),
        ),
      ];
  }
}

// ---- classic BPF (include/uapi/linux/bpf_common.h, filter.h, seccomp.h, audit.h) ----

interface Instruction {
  readonly code: number;
  readonly whenTrue: number;
  readonly whenFalse: number;
  readonly operand: number;
}

const INSTRUCTION_BYTES = 8;
/** An offset of a conditional jump is one byte. */
const MAX_JUMP = 255;

/** struct seccomp_data: nr, arch, instruction_pointer, args[6]. Little endian: an argument's low half comes first. */
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGUMENTS = 16;

const AUDIT_ARCH: Readonly<Record<SeccompArch, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
const X32_SYSCALL_BIT = 0x4000_0000;

const KILL_PROCESS = 0x8000_0000;
const ALLOW = 0x7fff_0000;
const RET_ERRNO = 0x0005_0000;

/** BPF_JMP | BPF_K with BPF_JEQ, BPF_JGE, BPF_JSET. */
const JUMP_CODES = { eq: 0x15, ge: 0x35, set: 0x45 } as const;

function errnoAnswer(name: ErrnoName): number {
  return RET_ERRNO | ERRNO[name];
}

/** BPF_LD | BPF_W | BPF_ABS. */
function load(offset: number): Instruction {
  return { code: 0x20, whenTrue: 0, whenFalse: 0, operand: offset };
}

function jump(
  test: keyof typeof JUMP_CODES,
  operand: number,
  whenTrue: number,
  whenFalse: number,
): Instruction {
  if (whenTrue > MAX_JUMP || whenFalse > MAX_JUMP) throw new Error("a rule is too long for a jump");
  return { code: JUMP_CODES[test], whenTrue, whenFalse, operand };
}

/** BPF_RET | BPF_K. */
function answer(action: number): Instruction {
  return { code: 0x06, whenTrue: 0, whenFalse: 0, operand: action };
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  program.forEach((instruction, i) => {
    const at = i * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(instruction.code, at);
    bytes.writeUInt8(instruction.whenTrue, at + 2);
    bytes.writeUInt8(instruction.whenFalse, at + 3);
    bytes.writeUInt32LE(instruction.operand, at + 4);
  });
  return bytes;
}
