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
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { exited } from "../lib/processes.ts";
import { type Bind, bindWords } from "./mounts.ts";
import { ASSEMBLE_AND_ENTER, BIND_THEN_DROP, REAP } from "./setup-script.ts";

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
  /** Besides PATH, which is the system's. Visible to whoever may read the set-up's environment: no secrets. */
  readonly env: Readonly<Record<string, string>>;
  readonly argv: readonly [string, ...string[]];
  /** Starts other programs: give it a process 1 that reaps orphans. */
  readonly startsPrograms: boolean;
  /** Bytes of each of /tmp and /dev/shm. */
  readonly tmpBytes: number;
  /** bubblewrap's path and the filter's file descriptor-to-be, when seccomp is wanted. */
  readonly seccomp?: { readonly bubblewrap: string; readonly program: Buffer };
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
/** The jail's set-up says "held" here, and closes it before the program starts. */
const STATUS_FD = 3;

/**
 * Creates the namespaces and stops before anything is mounted.
 * @throws Error with the set-up's own words when a step is refused.
 */
export async function holdJail(spec: JailSpec): Promise<HeldJail> {
  const asRoot = process.getuid?.() === 0;
  const words = bindWords(spec.binds);
  const filterFd = STATUS_FD + 1 + (spec.extraFds?.length ?? 0);
  const program = programArgv(spec, filterFd);
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
  const child = spawn(command, args, {
    env: {
      ...spec.env,
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      JAIL_NET: spec.network,
      JAIL_TMP_BYTES: String(spec.tmpBytes),
      JAIL_USERNS: spec.seccomp === undefined ? "1" : "2",
      JAIL_HOST: spec.hostname ?? "",
      JAIL_UID: String(spec.uid),
      JAIL_CWD: spec.cwd,
    },
    stdio: [
      "pipe",
      "pipe",
      "pipe",
      "pipe",
      ...(spec.extraFds ?? []),
      ...(spec.seccomp === undefined ? [] : (["pipe"] as const)),
    ],
    // A Ctrl-C on the operator's terminal is for the keeper to judge.
    detached: true,
  });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => {
      const how = signal === null ? `exited ${code}` : `was ended by ${signal}`;
      resolve(`${spec.name} ${how}${tail === "" ? "" : `: ${tail.trim()}`}`);
    });
  });
  const kill = async (): Promise<void> => {
    // Process 1 ends with its stdin, and its parent then buries it. What the program has done to process 1 may
    // keep it from ending: SIGKILL to its parent does not ask.
    stdin.destroy();
    const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
    await exited(child);
    clearTimeout(timer);
  };
  if (spec.seccomp !== undefined) {
    const pipe = child.stdio[filterFd] as unknown as Writable;
    pipe.on("error", () => {});
    pipe.end(spec.seccomp.program);
  }

  const timeout = AbortSignal.timeout(HOLD_TIMEOUT_MS);
  const held = await Promise.race([
    firstLine(child.stdio[STATUS_FD] as Readable),
    ended.then((reason) => new Error(reason)),
    new Promise<Error>((resolve) => {
      timeout.addEventListener("abort", () =>
        resolve(new Error(`${spec.name} was not set up within ${HOLD_TIMEOUT_MS} ms`)),
      );
    }),
  ]);
  if (held instanceof Error || held !== "held") {
    const reason = held instanceof Error ? held : new Error(await ended);
    await kill();
    throw new Error(`cannot set up ${spec.name}: ${reason.message}`);
  }
  return {
    initPid: onlyChildOf(child.pid ?? -1),
    child,
    stdin,
    stdout,
    stderr,
    enter: () => stdin.write("enter\n"),
    kill,
    ended,
  };
}

function programArgv(spec: JailSpec, filterFd: number): readonly string[] {
  const { seccomp } = spec;
  const filtered =
    seccomp === undefined
      ? spec.argv
      : // Only the filter is wanted of it: the same root again, in a namespace it must make to be allowed to.
        [
          ...[seccomp.bubblewrap, "--unshare-user", "--dev-bind", "/", "/", "--die-with-parent"],
          ...["--seccomp", String(filterFd), "--", ...spec.argv],
        ];
  return spec.startsPrograms ? ["sh", "-c", REAP, "init", ...filtered] : filtered;
}

function onlyChildOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  const child = Number.parseInt(children, 10);
  if (!Number.isInteger(child)) throw new Error(`process ${pid} has no child`);
  return child;
}

async function firstLine(stream: Readable): Promise<string | undefined> {
  stream.on("error", () => {});
  for await (const line of createInterface({ input: stream })) return line;
  return undefined;
}
