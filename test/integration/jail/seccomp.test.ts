/**
 * The filter as the kernel judges it: real bubblewrap, real system calls, as a user without privileges
 * outside and with every capability inside, so that what refuses is the filter and not a missing right.
 * Each refusal has a control: the same call without the filter has another outcome.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { seccompProgram } from "../../../src/jail/seccomp.ts";
import { type SeccompArch, type SyscallName, syscallNumber } from "../../../src/jail/syscalls.ts";

const arch: SeccompArch = process.arch === "arm64" ? "arm64" : "x64";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NOBODY = 65_534;

let dir = "";
let unusable: string | undefined;

/** Runs `argv` in a bottle-like bubblewrap; root gives up its uid first. */
function inBubblewrap(argv: readonly string[], filtered: boolean, stdin = ""): SpawnSyncReturns<string> {
  const drop =
    process.getuid?.() === 0
      ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--"]
      : [];
  const command = [
    ...drop,
    ...["bwrap", "--unshare-user", "--cap-add", "ALL", "--unshare-net", "--unshare-pid"],
    ...[
      "--ro-bind",
      "/",
      "/",
      "--dev-bind",
      "/dev",
      "/dev",
      "--proc",
      "/proc",
      "--tmpfs",
      "/tmp",
      "--die-with-parent",
    ],
    ...(filtered ? ["--seccomp", "3"] : []),
    ...["--chdir", "/tmp", "--", ...argv],
  ];
  const program = openSync(join(dir, "filter.bpf"), "r");
  try {
    return spawnSync(command[0]!, command.slice(1), {
      encoding: "utf8",
      env: { PATH, HOME: "/tmp", LANG: "C" },
      input: stdin,
      stdio: ["pipe", "pipe", "pipe", program],
      timeout: 30_000,
    });
  } finally {
    closeSync(program);
  }
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "bot-bottle-seccomp-"));
  chmodSync(dir, 0o755);
  writeFileSync(join(dir, "filter.bpf"), seccompProgram(arch));
  if (process.platform !== "linux") unusable = "seccomp is Linux's";
  else if (!onPath("bwrap")) unusable = "bubblewrap is not installed (Debian: apt-get install bubblewrap)";
  else {
    const probe = inBubblewrap(["true"], false);
    if (probe.status !== 0) {
      unusable = `bubblewrap cannot make a user namespace here: ${probe.error?.message ?? probe.stderr.trim()}`;
    }
  }
  if (unusable !== undefined)
    console.warn(`SKIPPED, the seccomp filter is not tried on a kernel: ${unusable}`);
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

function onPath(program: string): string | undefined {
  return PATH.split(":")
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function needs(ctx: TestContext, ...programs: readonly string[]): void {
  if (unusable !== undefined) ctx.skip(unusable);
  for (const program of programs) {
    if (onPath(program) === undefined) ctx.skip(`${program} is not installed`);
  }
}

/** A number, a string (passed by address) or a buffer of zeros. */
type Argument = number | string | { readonly zeros: number };

interface Case {
  readonly what: string;
  readonly call: SyscallName | number;
  readonly args: readonly Argument[];
  readonly filtered: string;
}

/** Does each call in a child of its own and prints `ok` or the error's name, a line a call. */
const PERL = String.raw`
use strict; use Errno; $| = 1;
my %name = map { eval("&Errno::$_") => $_ } grep { !/EWOULDBLOCK|EDEADLOCK|EOPNOTSUPP|ENOTSUP/ } keys %!;
while (my $line = <STDIN>) {
  chomp $line;
  my $pid = fork();
  if ($pid) { waitpid($pid, 0); print "signal ", $? & 127, "\n" if $? & 127; next; }
  my ($nr, @raw) = split /\t/, $line;
  my @args = map { /^n(.*)/ ? $1 + 0 : /^s(.*)/ ? "$1" : /^z(.*)/ ? "\0" x $1 : die } @raw;
  my $parent = $$;
  my $result = syscall($nr + 0, @args);
  my $error = $! + 0;
  exit 0 if $$ != $parent || (readlink("/proc/self") // $$) ne $parent;
  print $result == -1 ? ($name{$error} // "errno $error") : "ok", "\n";
  exit 0;
}
`;

function outcomes(cases: readonly Case[], filtered: boolean): string[] {
  const lines = cases.map(({ call, args }) =>
    [
      typeof call === "number" ? call : syscallNumber(arch, call),
      ...args.map((value) =>
        typeof value === "number" ? `n${value}` : typeof value === "string" ? `s${value}` : `z${value.zeros}`,
      ),
    ].join("\t"),
  );
  const result = inBubblewrap(["perl", "-e", PERL], filtered, lines.map((line) => `${line}\n`).join(""));
  expect(result.stderr).toBe("");
  const out = result.stdout.trimEnd().split("\n");
  expect(out).toHaveLength(cases.length);
  return out;
}

const AT_FDCWD = -100;

const REFUSED: readonly Case[] = [
  { what: "mount", call: "mount", args: ["none", "/tmp", "tmpfs", 0, 0], filtered: "EPERM" },
  { what: "umount2", call: "umount2", args: ["/nowhere", 0], filtered: "EPERM" },
  { what: "pivot_root", call: "pivot_root", args: ["/nowhere", "/nowhere"], filtered: "EPERM" },
  { what: "chroot", call: "chroot", args: ["/tmp"], filtered: "EPERM" },
  { what: "open_tree", call: "open_tree", args: [AT_FDCWD, "/", 1], filtered: "EPERM" },
  { what: "move_mount", call: "move_mount", args: [-1, "x", -1, "y", 0], filtered: "EPERM" },
  { what: "fsopen", call: "fsopen", args: ["tmpfs", 0], filtered: "EPERM" },
  { what: "fspick", call: "fspick", args: [AT_FDCWD, "/nowhere", 0], filtered: "EPERM" },
  { what: "mount_setattr", call: "mount_setattr", args: [AT_FDCWD, "/", 0, 0, 0], filtered: "EPERM" },
  { what: "name_to_handle_at", call: "name_to_handle_at", args: [AT_FDCWD, "/", 0, 0, 0], filtered: "EPERM" },
  { what: "unshare of a user namespace", call: "unshare", args: [0x10000000], filtered: "EPERM" },
  { what: "unshare of a mount namespace", call: "unshare", args: [0x20000], filtered: "EPERM" },
  { what: "setns", call: "setns", args: [-1, 0], filtered: "EPERM" },
  {
    what: "clone into a user namespace",
    call: "clone",
    args: [0x10000000 + 17, 0, 0, 0, 0],
    filtered: "EPERM",
  },
  { what: "clone3", call: "clone3", args: [0, 0], filtered: "ENOSYS" },
  { what: "io_uring_setup", call: "io_uring_setup", args: [0, 0], filtered: "ENOSYS" },
  { what: "io_uring_register", call: "io_uring_register", args: [-1, 0, 0, 0], filtered: "ENOSYS" },
  { what: "perf_event_open", call: "perf_event_open", args: [0, 0, -1, -1, 0], filtered: "EPERM" },
  { what: "userfaultfd", call: "userfaultfd", args: [1], filtered: "EPERM" },
  { what: "keyctl", call: "keyctl", args: [0, -2, 1], filtered: "EPERM" },
  { what: "add_key", call: "add_key", args: [0, 0, 0, 0, 0], filtered: "EPERM" },
  { what: "request_key", call: "request_key", args: [0, 0, 0, 0], filtered: "EPERM" },
  {
    what: "personality without address randomisation",
    call: "personality",
    args: [0x40000],
    filtered: "EPERM",
  },
  { what: "reboot", call: "reboot", args: [0, 0, 0, 0], filtered: "EPERM" },
  { what: "adjtimex", call: "adjtimex", args: [{ zeros: 256 }], filtered: "EPERM" },
  { what: "ioctl TIOCSTI", call: "ioctl", args: [0, 0x5412, "x"], filtered: "EPERM" },
  { what: "ioctl TIOCSTI and bit 32", call: "ioctl", args: [0, 0x1_0000_5412, "x"], filtered: "EPERM" },
  { what: "ioctl TIOCLINUX", call: "ioctl", args: [0, 0x541c, "x"], filtered: "EPERM" },
  { what: "a packet socket", call: "socket", args: [17, 3, 0], filtered: "EAFNOSUPPORT" },
  { what: "a generic netlink socket", call: "socket", args: [16, 3, 16], filtered: "EPROTONOSUPPORT" },
  {
    what: "a pair of packet sockets",
    call: "socketpair",
    args: [17, 3, 0, { zeros: 8 }],
    filtered: "EAFNOSUPPORT",
  },
];

const REFUSED_X64: readonly Case[] = [
  { what: "iopl", call: "iopl", args: [0], filtered: "EPERM" },
  { what: "ioperm", call: "ioperm", args: [0, 1, 0], filtered: "EPERM" },
];

const ALLOWED: readonly Case[] = [
  { what: "ptrace (TRACEME)", call: arch === "x64" ? 101 : 117, args: [0, 0, 0, 0], filtered: "ok" },
  { what: "unshare of the file table", call: "unshare", args: [0x400], filtered: "ok" },
  { what: "clone of a process", call: "clone", args: [17, 0, 0, 0, 0], filtered: "ok" },
  { what: "personality (the question)", call: "personality", args: [0xffffffff], filtered: "ok" },
  { what: "a unix socket", call: "socket", args: [1, 1, 0], filtered: "ok" },
  { what: "an inet socket", call: "socket", args: [2, 1, 0], filtered: "ok" },
  { what: "an inet6 socket", call: "socket", args: [10, 2, 0], filtered: "ok" },
  { what: "a route netlink socket", call: "socket", args: [16, 3, 0], filtered: "ok" },
];

const PYTHON = [
  "import socket, subprocess, threading, multiprocessing",
  "t = threading.Thread(target=lambda: None); t.start(); t.join()",
  "p = multiprocessing.get_context('fork').Process(target=lambda: None); p.start(); p.join()",
  "assert p.exitcode == 0",
  "socket.socketpair()",
  "print(subprocess.run(['true'], check=True).returncode)",
].join("\n");

const NODE = `
  const { Worker } = require("node:worker_threads");
  const { execFileSync } = require("node:child_process");
  const net = require("node:net");
  new Worker("require('node:worker_threads').parentPort.postMessage('worker')", { eval: true })
    .once("message", (worker) => {
      const child = execFileSync("echo", ["child"], { encoding: "utf8" }).trim();
      const server = net.createServer((socket) => socket.end("socket"));
      server.listen(0, "127.0.0.1", () => {
        net.connect(server.address().port, "127.0.0.1").once("data", (data) => {
          server.close();
          console.log(worker, child, String(data), Object.keys(require("node:os").networkInterfaces())[0]);
        });
      });
    });`;

describe("under bubblewrap with the seccomp program", () => {
  it("refuses each call, which has another outcome without the filter", (ctx) => {
    needs(ctx, "perl");
    const cases = [...REFUSED, ...(arch === "x64" ? REFUSED_X64 : [])];
    const control = outcomes(cases, false);
    const actual = outcomes(cases, true);
    expect(cases.map(({ what }, i) => [what, actual[i]])).toEqual(cases.map((c) => [c.what, c.filtered]));
    // A kernel built without a call answers ENOSYS by itself: no control, and no fault.
    const same = cases
      .filter((_, i) => control[i] === actual[i] && control[i] !== "ENOSYS")
      .map(({ what }) => what);
    expect(same).toEqual([]);
  });

  it("allows what debuggers, threads and resolvers need", (ctx) => {
    needs(ctx, "perl");
    expect(outcomes(ALLOWED, true)).toEqual(ALLOWED.map((c) => c.filtered));
  });

  it("kills a 32-bit x86 program, whose call numbers mean other calls", (ctx) => {
    needs(ctx, "sh");
    if (arch !== "x64") ctx.skip("not an x86 machine");
    const script = 'cat > /tmp/tiny && chmod +x /tmp/tiny && /tmp/tiny; echo "ended $?"';
    const elf = tinyElf32().toString("latin1");
    const feed = (filtered: boolean): string =>
      inBubblewrap(["sh", "-c", `printf '${octal(elf)}' | ( ${script} )`], filtered).stdout.trim();
    if (feed(false) !== "ended 42") ctx.skip("this kernel runs no 32-bit programs");
    expect(feed(true)).toBe("ended 159"); // 128 + SIGSYS
  });

  const PROGRAMS: readonly (readonly [program: string, ...args: string[]])[] = [
    ["bash", "-c", "for i in 1 2 3; do (exit 0) & done; wait; echo $((6 * 7))"],
    ["git", "-c", "init.defaultBranch=main", "init", "repository"],
    ["curl", "--version"],
    ["python3", "-c", PYTHON],
  ];
  for (const [program, ...args] of PROGRAMS) {
    it(`still runs ${program}`, (ctx) => {
      needs(ctx, program);
      const result = inBubblewrap([program, ...args], true);
      expect([result.status, result.stderr]).toEqual([0, ""]);
      expect(result.stdout).not.toBe("");
    });
  }

  it("still runs node with workers, children, sockets and interfaces", (ctx) => {
    needs(ctx);
    const node = inBubblewrap([process.execPath, "--version"], false);
    if (node.status !== 0) ctx.skip(`an unprivileged user cannot run ${process.execPath}`);
    const result = inBubblewrap([process.execPath, "--eval", NODE], true);
    expect([result.status, result.stderr, result.stdout.trim()]).toEqual([0, "", "worker child socket lo"]);
  });
});

function octal(text: string): string {
  return [...text].map((c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`).join("");
}

/** A static ELF32 of one segment: `mov eax, 1; mov ebx, 42; int 0x80` (exit). */
function tinyElf32(): Buffer {
  const code = Buffer.from([0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80]);
  const base = 0x08048000;
  const start = 52 + 32;
  const elf = Buffer.alloc(start);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]).copy(elf);
  elf.writeUInt16LE(2, 16); // an executable
  elf.writeUInt16LE(3, 18); // for i386
  elf.writeUInt32LE(1, 20);
  elf.writeUInt32LE(base + start, 24);
  elf.writeUInt32LE(52, 28);
  elf.writeUInt16LE(52, 40);
  elf.writeUInt16LE(32, 42);
  elf.writeUInt16LE(1, 44);
  const size = start + code.length;
  [1, 0, base, base, size, size, 5, 0x1000].forEach((word, i) => {
    elf.writeUInt32LE(word, 52 + 4 * i);
  });
  return Buffer.concat([elf, code]);
}
