/**
 * A process on an allow-list root, in namespaces of its own, without a capability and without a way to get
 * one. Guests of the `namespace` backend are jails, and so are sidecars that run as host processes.
 *
 * What it protects: everything of the host that is not bound into it. How it fails closed: each set-up step
 * must succeed (`set -e`), and nothing of the jailed program runs before `enter`. Layers, outermost first:
 *
 *   host root only: own mount namespace, binds, then an unprivileged uid for good
 *   U1: user, mount, pid, ipc, uts (and net) namespaces; its uid 0 is that unprivileged uid
 *   U2: user namespace of the program: owns none of the above; no capability, no-new-privs, no further U
 *
 * Every process of it dies when this process does (parent-death signal, and the end of its stdin).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { messageOf } from "../lib/errors.ts";
import { readFirstLine } from "../lib/first-line.ts";
import { printable } from "../lib/printable.ts";
import { exited } from "../lib/processes.ts";
import { type FilterLoader, loaderWords } from "./filter-loader.ts";
import { isRoot } from "./host-uid.ts";
import { coverInherited } from "./inherited-fds.ts";
import { type Bind, bindWords } from "./mounts.ts";
import { countsProcesses, hardLimit } from "./resource-limits.ts";
import { seccompProgram } from "./seccomp.ts";
import { ASSEMBLE_AND_ENTER, BIND_THEN_DROP, REAP } from "./setup-script.ts";
import type { SeccompArch } from "./syscalls.ts";

export interface JailSpec {
  /** In error texts: "the guest". */
  readonly name: string;
  /** From {@link makeSkeleton}: the root itself first. */
  readonly binds: readonly Bind[];
  /** `own`: a network namespace with a loopback and nothing else. */
  readonly network: "own" | "host";
  readonly hostname?: string;
  /** The unprivileged host uid (and gid) it runs as; required of, and only used by, host root. */
  readonly hostUid: number;
  /** Its uid and gid inside. */
  readonly uid: number;
  readonly cwd: string;
  /** Besides PATH, which is the system's. Visible to whoever may read the set-up's environment: no secrets. */
  readonly env: Readonly<Record<string, string>>;
  readonly argv: readonly [string, ...string[]];
  /** Starts other programs: give it a process 1 that reaps orphans. */
  readonly startsPrograms: boolean;
  /** Bytes of each of /tmp and /dev/shm. */
  readonly tmpBytes: number;
  /** Puts the system-call filter on the program, and on whatever it starts. */
  readonly seccomp?: { readonly loader: FilterLoader; readonly arch: SeccompArch };
  /** Processes and threads it may have at once, where the kernel counts them by user namespace. */
  readonly pids?: number;
  /** Files that each of its processes may have open. */
  readonly openFiles?: number;
  /** Of the host's /dev, by name, besides those that hold nothing: `kvm`. */
  readonly devices?: readonly string[];
  /** Host file descriptors for the program: the first becomes its 4, and so on. `"ipc"` opens Node's channel. */
  readonly extraFds?: readonly (number | "ipc")[];
}

/** A jail whose namespaces exist and whose program has not been started. */
export interface HeldJail {
  /** Host pid of process 1. Valid until the jail ends. */
  readonly initPid: number;
  readonly child: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Mounts, moves in and starts the program. */
  enter(): void;
  /** Kills everything in it, and waits until it is gone. */
  kill(): Promise<void>;
  /** Resolves with a short reason when it has ended. */
  readonly ended: Promise<string>;
}

/** Set-up takes some 30 ms; a machine that needs this long is not going to do it. */
const HOLD_TIMEOUT_MS = 15_000;
/** From the end of stdin to the end of everything takes some milliseconds. */
const END_TIMEOUT_MS = 1_000;
const STDERR_TAIL_CHARACTERS = 1_000;
/** For a process that was buried together with what it said last. */
const LAST_WORDS_MS = 200;
/** The jail's set-up says "held" here, and closes it before the program starts. */
const STATUS_FD = 3;
const MAX_STATUS_BYTES = 100;

/**
 * Creates the namespaces and stops before anything is mounted.
 * @throws Error with the set-up's own words when a step is refused.
 */
export async function holdJail(spec: JailSpec): Promise<HeldJail> {
  const asRoot = isRoot();
  const words = bindWords(spec.binds);
  const filterFd = STATUS_FD + 1 + (spec.extraFds?.length ?? 0);
  const filter = spec.seccomp && seccompProgram(spec.seccomp.arch);
  const program = programArgv(spec, filter, filterFd);
  const inside = [
    "sh",
    "-c",
    ASSEMBLE_AND_ENTER,
    "jail",
    ...(asRoot ? ["0"] : [String(words.length), ...words]),
    ...program,
  ];
  const namespaces = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--ipc",
    "--uts",
  ];
  if (spec.network === "own") namespaces.push("--net");
  const enter = [...namespaces, "--fork", "--kill-child=KILL", "--", ...inside];
  const argv = asRoot
    ? [
        ...["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", BIND_THEN_DROP, "jail"],
        ...[String(spec.hostUid), String(words.length), ...words, ...enter],
      ]
    : ["setpriv", "--pdeathsig", "KILL", "--", ...enter];

  const [command, ...args] = argv as [string, ...string[]];
  const env = {
    ...spec.env,
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    JAIL_NET: spec.network,
    JAIL_TMP_BYTES: String(spec.tmpBytes),
    // The program's own, and what bubblewrap makes for itself.
    JAIL_USERNS: spec.seccomp?.loader.kind === "bubblewrap" ? "2" : "1",
    JAIL_LIMITS: limitsOf(spec),
    JAIL_HOST: spec.hostname ?? "",
    JAIL_UID: String(spec.uid),
    JAIL_CWD: spec.cwd,
    JAIL_DEVICES: (spec.devices ?? []).join(" "),
  };
  const pipes = [
    ...(["pipe", "pipe", "pipe", "pipe"] as const),
    ...(spec.extraFds ?? []),
    ...(filter === undefined ? [] : (["pipe"] as const)),
  ];
  // Detached: a Ctrl-C on the operator's terminal is for the keeper to judge.
  const child = coverInherited(pipes, (stdio) => spawn(command, args, { env, stdio, detached: true }));
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", async (code, signal) => {
      if (!stderr.closed)
        await within(LAST_WORDS_MS, new Promise<void>((read) => stderr.once("close", () => read())));
      const how = signal === null ? `exited ${code}` : `was ended by ${signal}`;
      // Its last words may be a guest's.
      resolve(
        `${spec.name} ${how}${tail === "" ? "" : `: ${printable(tail.trim(), STDERR_TAIL_CHARACTERS)}`}`,
      );
    });
  });
  let initPid: number | undefined;
  const kill = async (): Promise<void> => {
    // Process 1 ends with its stdin, and its parent then buries it and everybody else. What the program has done
    // to process 1 may keep it from ending: the signal does not ask. The parent alone may be killed last, because
    // it would then bury nobody.
    stdin.destroy();
    if (await within(END_TIMEOUT_MS, exited(child))) return;
    if (initPid !== undefined) killIfThere(initPid);
    if (await within(END_TIMEOUT_MS, exited(child))) return;
    child.kill("SIGKILL");
    await exited(child);
  };
  if (filter !== undefined) {
    const pipe = child.stdio[filterFd] as unknown as Writable;
    pipe.on("error", () => {});
    pipe.end(filter);
  }

  try {
    const status = child.stdio[STATUS_FD] as Socket;
    status.on("error", () => {});
    const said = readFirstLine(status, MAX_STATUS_BYTES);
    const held = await within(HOLD_TIMEOUT_MS, Promise.race([said, ended.then(fail)]));
    status.destroy();
    if (!held) throw new Error(`not done within ${HOLD_TIMEOUT_MS} ms`);
    initPid = onlyChildOf(child.pid ?? -1);
  } catch (error) {
    const reason = await Promise.race([ended, within(LAST_WORDS_MS, ended).then(() => messageOf(error))]);
    await kill();
    throw new Error(`cannot set up ${spec.name}: ${reason}`);
  }
  return { initPid, child, stdin, stdout, stderr, enter: () => stdin.write("enter\n"), kill, ended };
}

/** Options of prlimit. */
function limitsOf({ pids, openFiles }: JailSpec): string {
  const options: string[] = [];
  const add = (option: string, most: number): void => void options.push(`--${option}=${most}:${most}`);
  if (pids !== undefined && countsProcesses()) add("nproc", hardLimit("processes", pids));
  if (openFiles !== undefined) add("nofile", hardLimit("open files", openFiles));
  return options.join(" ");
}

function programArgv(spec: JailSpec, filter: Buffer | undefined, fd: number): readonly string[] {
  const reaped = (argv: readonly string[]): readonly string[] =>
    spec.startsPrograms ? ["sh", "-c", REAP, "init", ...argv] : argv;
  if (spec.seccomp === undefined || filter === undefined) return reaped(spec.argv);
  const { loader, arch } = spec.seccomp;
  const words = loaderWords(loader, { arch, filter, fd });
  // bubblewrap stays as a parent; where nothing stays, process 1 is under the filter too.
  return loader.kind === "bubblewrap" ? reaped([...words, ...spec.argv]) : [...words, ...reaped(spec.argv)];
}

function onlyChildOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  const child = Number.parseInt(children, 10);
  if (!Number.isInteger(child)) throw new Error(`process ${pid} has no child`);
  return child;
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended in this moment.
  }
}

function fail(reason: string): never {
  throw new Error(reason);
}

/** Whether `promise` was fulfilled in time; rejects when it does. */
async function within(milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
