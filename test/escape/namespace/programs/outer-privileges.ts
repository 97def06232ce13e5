/** In the outer world, as root there: what a guest's processes are, and what the kernel lets them do. */
import { readFileSync, writeFileSync } from "node:fs";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import type { Guest } from "../../../../src/contract/backend.ts";
import { type SyscallName, syscallNumber } from "../../../../src/jail/syscalls.ts";
import { packagePath } from "../../../../src/lib/package-root.ts";
import { run } from "../../../../src/lib/processes.ts";
import { finish, runIn, sh, startBottle } from "../../../support/bottle-guest.ts";
import { outerArguments } from "../../../support/outer-network.ts";

export interface PrivilegesInput {
  /** Where perl is, for guest and host; absent when there is none. */
  readonly perl?: string;
  readonly keyName?: string;
}

export interface PrivilegesReport {
  /** By the name of who was looked at: the interesting lines of /proc/pid/status. */
  readonly status: Readonly<Record<string, readonly string[]>>;
  readonly calls: readonly { readonly call: string; readonly outside: string; readonly inside: string }[];
  /** What set-id programs made of the agent, by name. */
  readonly setId: readonly string[];
  /** What any process of the guest has open, but for the harmless. */
  readonly open: readonly string[];
  /** What could be read through a descriptor that this process was born with: by its child, and in the guest. */
  readonly leaked: { readonly child: string; readonly guest: string };
  /** Serial number of the operator's key, or the error: as this process's child, and as the guest's. */
  readonly key: { readonly outside: string; readonly inside: string };
}

const arch = process.arch === "arm64" ? "arm64" : "x64";
const { resultFile, input } = outerArguments<PrivilegesInput>();
const STATUS_LINES = "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):";
const CLONE_NEWUSER = 0x1000_0000;
const CLONE_NEWNS = 0x2_0000;
const SIGCHLD = 17;

const bottle = await startBottle(namespaceBackend);
const { guest } = bottle;

const number = (name: SyscallName): number => syscallNumber(arch, name) ?? -1;
const [MKNODAT, SETUID, SETGID, SETGROUPS] = arch === "x64" ? [259, 105, 106, 116] : [33, 146, 144, 159];
const AT_FDCWD = -100;
const CALLS: readonly string[] = [
  `a new user namespace=${number("unshare")}=${CLONE_NEWUSER}`,
  `a new user namespace by clone=${number("clone")}=${CLONE_NEWUSER | SIGCHLD},0,0,0,0`,
  `a new mount namespace=${number("unshare")}=${CLONE_NEWNS}`,
  `mount=${number("mount")}=:none,:/home,:tmpfs,0,0`,
  `the new mount interface=${number("fsopen")}=:tmpfs,0`,
  `chroot=${number("chroot")}=:/`,
  `a device node=${MKNODAT}=${AT_FDCWD},:/dev/shm/mem-${process.pid},${0o020666},257`,
  `uid 0=${SETUID}=0`,
  `gid 0=${SETGID}=0`,
  `other groups=${SETGROUPS}=0,0`,
  `a packet socket=${number("socket")}=17,3,768`,
  `a raw socket=${number("socket")}=2,3,1`,
  `a raw IPv6 socket=${number("socket")}=10,3,58`,
  `a vsock socket=${number("socket")}=40,1,0`,
  `a socket to the kernel's audit=${number("socket")}=16,3,9`,
  `a multipath TCP socket=${number("socket")}=2,1,262`,
  `swapping=${number("swapoff")}=:/nonexistent`,
];

async function callsOf(
  runPerl: (argv: readonly [string, ...string[]]) => Promise<Buffer>,
): Promise<Map<string, string>> {
  if (input.perl === undefined) return new Map();
  const output = await runPerl([input.perl, "-", ...CALLS]);
  return new Map(
    output
      .toString()
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]),
  );
}

const SCRIPT = readFileSync(packagePath("test/escape/namespace/programs/calls.pl"));
const inside = await callsOf(async (argv) => (await runIn(guest, argv, { stdin: SCRIPT })).stdout);
const outside = await callsOf(async (argv) => (await run(argv, { stdin: SCRIPT })).stdout);

const report: PrivilegesReport = {
  status: {
    "an exec": await statusOf(guest, "self"),
    "an exec on a terminal": (
      await finish(
        await guest.exec(["grep", "-E", STATUS_LINES, "/proc/self/status"], { tty: { cols: 80, rows: 24 } }),
      )
    ).stdout
      .toString()
      .trim()
      .split("\r\n"),
    "process 1": await statusOf(guest, "1"),
    ...Object.fromEntries(
      await Promise.all(
        (await sh(guest, "ls /proc | grep '^[0-9]'"))
          .split("\n")
          .map(async (pid) => [`process ${pid}`, await statusOf(guest, pid)] as const),
      ),
    ),
  },
  calls: CALLS.map((call) => call.slice(0, call.indexOf("="))).map((call) => ({
    call,
    outside: outside.get(call) ?? "",
    inside: inside.get(call) ?? "",
  })),
  setId: await setIdPrograms(guest),
  open: await openIn(guest),
  leaked: await leaked(guest),
  key: await operatorsKey(guest),
};
await bottle.close();
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);

async function statusOf(of: Guest, pid: string): Promise<readonly string[]> {
  const { stdout } = await runIn(of, ["grep", "-E", STATUS_LINES, `/proc/${pid}/status`]);
  return stdout.toString().trim().split("\n");
}

/** Each set-id program of /usr is started; while it runs (most wait, or fail) its effective uid is looked at. */
async function setIdPrograms(of: Guest): Promise<readonly string[]> {
  const found = await sh(of, "find /usr/bin /usr/sbin /usr/lib -xdev -type f -perm /6000 2>/dev/null || :");
  const results: string[] = [];
  for (const path of found.split("\n").filter((line) => line !== "")) {
    const execution = await of.exec([path], { tty: { cols: 80, rows: 24 } }).catch(() => undefined);
    if (execution === undefined) {
      results.push(`${path} not started`);
      continue;
    }
    execution.stdout.resume();
    const ids = await runIn(of, [
      "sh",
      "-c",
      "cat /proc/[0-9]*/status | grep -E '^(Uid|Gid):' | sort -u | tr '\\t\\n' '  '",
    ]);
    execution.kill("SIGKILL");
    await execution.exit;
    results.push(`${path} ${ids.stdout.toString().trim()}`);
  }
  return results;
}

async function openIn(of: Guest): Promise<readonly string[]> {
  const script = 'for fd in /proc/[0-9]*/fd/*; do echo "$fd $(readlink $fd 2>/dev/null)"; done';
  const harmless =
    /^(socket:|pipe:|anon_inode:\[(?:event|io_uring\])|\/dev\/null$|\/dev\/pts\/|\/proc\/\d+\/fd$)/;
  return (await sh(of, script)).split("\n").filter((line) => {
    const target = line.slice(line.indexOf(" ") + 1);
    return target !== "" && !harmless.test(target);
  });
}

/** The test's own process opened the host's root, and /etc/hostname, without close-on-exec. */
async function leaked(of: Guest): Promise<{ child: string; guest: string }> {
  const script =
    "for p in self 1 $(ls /proc | grep '^[0-9]'); do for n in 40 41; do ls -d /proc/$p/fd/$n/etc/hostname /proc/$p/fd/$n/proc 2>/dev/null; done; done | sort -u | head -1";
  const child = await run(["sh", "-c", script]);
  return { child: child.stdout.toString().trim(), guest: await sh(of, script) };
}

async function operatorsKey(of: Guest): Promise<{ outside: string; inside: string }> {
  if (input.perl === undefined || input.keyName === undefined) return { outside: "", inside: "" };
  const KEYCTL_SEARCH = 10;
  const SESSION_KEYRING = -3;
  const search = `my $n = "${input.keyName}"; my $t = "user"; my $k = syscall(${number("keyctl")}, ${KEYCTL_SEARCH}, ${SESSION_KEYRING}, $t, $n, 0); print $k > 0 ? "found" : $! + 0;`;
  return {
    outside: (await run([input.perl, "-e", search])).stdout.toString(),
    inside: (await runIn(of, [input.perl, "-e", search])).stdout.toString(),
  };
}
