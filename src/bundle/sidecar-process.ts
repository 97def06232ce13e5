/**
 * A sidecar as a process of this host: confined to a jail of its own (the host's network, a read-only root,
 * no home) where user namespaces exist, and told its secrets over stdin alone (I2). Its death is an event;
 * what to do about it is the bundle's business.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { dirname } from "node:path";
import type { InheritedListeners, ListenerRole, SidecarName, SidecarStreams } from "../contract/backend.ts";
import { type FromSidecar, fromSidecarSchema, type ToSidecar } from "../contract/sidecar.ts";
import { hostUidOf } from "../jail/host-uid.ts";
import { holdJail } from "../jail/jail.ts";
import type { Bind } from "../jail/mounts.ts";
import { makeSkeleton } from "../jail/skeleton.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { packagePath } from "../lib/package-root.ts";
import { answerWithin } from "../lib/pending.ts";
import { exited } from "../lib/processes.ts";
import { removeTree } from "../lib/remove-tree.ts";

/** A sidecar's longest message: an event with a bounded target. */
const MAX_MESSAGE_BYTES = 256 * 1024;
/** V8's heap; what is streamed lives outside of it. */
const HEAP_MEGABYTES = 256;
/** What a sidecar gets that needs nothing else. */
const PLAIN_JAIL: SidecarJail = { binds: [], startsPrograms: false, tmpBytes: 16 * 1024 * 1024 };
const READY_TIMEOUT_MS = 20_000;
/** Takes some 40 ms. One that does not answer would hold up whatever the operator wants next, a freeze among it. */
const RELOAD_TIMEOUT_MS = 5_000;
/** What ending may take before the process is killed. */
const STOP_TIMEOUT_MS = 8_000;

/** What a sidecar has besides our own program, the system's and the host's network. */
export interface SidecarJail {
  readonly binds: readonly Bind[];
  /** Starts programs of the system's, whose orphans somebody has to bury. */
  readonly startsPrograms: boolean;
  /** Bytes of its /tmp, which is in memory. */
  readonly tmpBytes: number;
  /** Of the host, used by root alone; one of the bottle's own when absent. */
  readonly hostUid?: number;
}

/** Where a sidecar runs. */
export type SidecarPlace =
  /** A process of this host, confined. `rootDir`: under the bottle's state, for the jail's root, made anew. */
  | { readonly kind: "jail"; readonly rootDir: string; readonly jail?: SidecarJail }
  /** A process of a host that has no namespaces. */
  | { readonly kind: "plain" }
  /** Started by its endpoint: in the bundle's container. */
  | { readonly kind: "contained"; start(): Promise<SidecarStreams> };

export interface SidecarOptions {
  readonly name: SidecarName;
  readonly id: string;
  readonly place: SidecarPlace;
  /** Awaited while the program starts, like the listeners. */
  readonly config: Promise<unknown>;
  /** Listening handles to hand over, if it is to have any; ours are closed once it has its own. */
  readonly listeners: Promise<InheritedListeners>;
  readonly onMessage: (message: SidecarMessage) => void;
}

/** What is not for this file to understand. */
export type SidecarMessage = Exclude<FromSidecar, { type: "ready" | "reloaded" }>;

export interface SidecarProcess {
  readonly pid: number;
  /** Replaces the part of the configuration that can be. @throws Error when the sidecar refuses it. */
  reload(policy: unknown): Promise<void>;
  /** Tells it that the event with this receipt is on the log. */
  recorded(receipt: number): Promise<void>;
  /** Answers what it asked. */
  answer(ask: string, answer: unknown): Promise<void>;
  /** Hands over a connection that nobody has read from. */
  take(socket: Socket): void;
  /** Ends it now, whatever it is doing. */
  kill(): Promise<void>;
  /** Ends it at once: nobody is left to be served. */
  stop(): Promise<void>;
  /** Resolves with a short reason once it is gone. */
  readonly ended: Promise<string>;
}

interface Started extends SidecarStreams {
  /** Takes handles, of listeners and connections; absent where none can be handed over. */
  readonly child?: ChildProcess;
}

/** Starts one and waits until it serves. @throws Error with the sidecar's own words when it does not. */
export async function startSidecar(options: SidecarOptions): Promise<SidecarProcess> {
  const { listeners } = options;
  for (const coming of [options.config, listeners]) coming.catch(() => {});
  let started: Started | undefined;
  try {
    started = await startAt(options);
    return await serve(started, options);
  } catch (error) {
    await started?.kill();
    // Held by nobody who serves, they would keep the guest waiting and their ports from the next one.
    const unused = await listeners.catch(() => new Map<ListenerRole, Server>());
    for (const server of unused.values()) server.close();
    throw error;
  }
}

function startAt(options: SidecarOptions): Promise<Started> | Started {
  const { place } = options;
  switch (place.kind) {
    case "jail":
      return startConfined(options, place);
    case "plain":
      return startPlain(options);
    case "contained":
      return place.start();
  }
}

async function serve(started: Started, options: SidecarOptions): Promise<SidecarProcess> {
  const send = (message: ToSidecar): Promise<void> => writeJsonLine(started.stdin, message);
  const reloads: ((error: string | undefined) => void)[] = [];
  let lastError = "";
  let nonsense = "";
  let announceReady: () => void = () => {};
  const ready = new Promise<void>((resolve) => {
    announceReady = resolve;
  });

  const reading = (async () => {
    for await (const line of readJsonLines(started.stdout, { maxLineBytes: MAX_MESSAGE_BYTES })) {
      const message = fromSidecarSchema.parse(line);
      switch (message.type) {
        case "ready":
          announceReady();
          break;
        case "reloaded":
          reloads.shift()?.(message.error);
          break;
        default:
          if (message.type === "log" && message.level === "error") lastError = message.text;
          options.onMessage(message);
      }
    }
  })();
  // A sidecar that talks nonsense is not one that can be trusted to serve.
  reading.catch(() => {
    // Not in its words: it has secrets, and this goes to the log (I2).
    nonsense = "; it had said what is no message of a sidecar's";
    void started.kill();
  });

  const within = async (step: Promise<void>): Promise<void> => {
    const done = step.then(() => undefined);
    const failure = await answerWithin(done, started.ended, READY_TIMEOUT_MS);
    if (failure === undefined) return;
    throw new Error(`${options.name} did not start: ${lastError || failure}${nonsense}`);
  };
  const { child } = started;
  const awaitsListener = new Promise<void>((resolve) => child?.once("message", () => resolve()));
  await send({ type: "config", config: await options.config });
  const listeners = await options.listeners;
  // A handle that arrives sooner accepts clients before the program looks at them, and they wait for ever.
  if (listeners.size > 0) await within(awaitsListener);
  for (const [role, server] of listeners) {
    if (child === undefined) throw new Error(`${options.name} runs where no listener can be handed over`);
    await within(handOver(child, { listener: options.name, role }, server));
  }
  await within(ready);

  return {
    pid: started.pid,
    ended: started.ended.then((reason) => reason + nonsense),
    async reload(policy) {
      const answer = new Promise<string | undefined>((resolve) => reloads.push(resolve));
      await send({ type: "reload", policy });
      const error = await answerWithin(answer, started.ended, RELOAD_TIMEOUT_MS);
      if (error !== undefined) throw new Error(error);
    },
    recorded: (receipt) => send({ type: "recorded", receipt }),
    answer: (ask, answer) => send({ type: "answer", ask, answer }),
    take(socket) {
      let isTaken = false;
      child?.send({ connection: options.name }, socket, {}, (error) => {
        isTaken = error === null;
        if (!isTaken) socket.destroy();
      });
      const drop = (): void => void (isTaken || socket.destroy());
      if (child === undefined) drop();
      else void started.ended.then(drop);
    },
    kill: () => started.kill(),
    async stop() {
      started.stdin.end();
      const timer = setTimeout(() => void started.kill(), STOP_TIMEOUT_MS);
      await started.ended;
      clearTimeout(timer);
    },
  };
}

/** A shell that waits for its foreground program waits for everybody, and so buries the orphans it adopts. */
const REAPING = ["sh", "-c", '"$@"; exit "$?"', "sidecar"] as const;

async function startConfined(
  options: SidecarOptions,
  { rootDir, jail: wanted = PLAIN_JAIL }: Extract<SidecarPlace, { kind: "jail" }>,
): Promise<Started> {
  // Left by the one that died.
  await removeTree(rootDir);
  const { binds, startsPrograms, tmpBytes, hostUid } = wanted;
  const node = realpathSync(process.execPath);
  const inside = "/opt/bottle";
  const nodeInside = node.startsWith("/usr/") ? node : `${inside}/node`;
  const places: Bind[] = [
    { from: packagePath("dist"), to: `${inside}/dist` },
    { from: packagePath("package.json"), to: `${inside}/package.json` },
    ...(nodeInside === node ? [] : [{ from: node, to: nodeInside }]),
    ...resolverFolders(),
    ...binds,
  ];
  const program = [nodeInside, ...nodeFlags(), `${inside}/dist/bottle.js`, "sidecar", options.name] as const;
  const jail = await holdJail({
    name: options.name,
    binds: await makeSkeleton({
      root: rootDir,
      user: { name: "node", uid: 1000, home: "/nonexistent" },
      hostname: options.name,
      etc: "host",
      binds: places,
    }),
    network: "host",
    hostUid: hostUid ?? hostUidOf(options.id, options.name),
    uid: 1000,
    cwd: "/",
    env: {},
    argv: startsPrograms ? [...REAPING, ...program] : program,
    // The jail's own process 1 takes stdin, which is where a sidecar is talked to.
    startsPrograms: false,
    tmpBytes,
    extraFds: ["ipc"],
  });
  jail.enter();
  return { ...jail, pid: jail.initPid };
}

function startPlain(options: SidecarOptions): Started {
  const child = spawn(
    process.execPath,
    [...nodeFlags(), packagePath("dist/bottle.js"), "sidecar", options.name],
    {
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin" },
      stdio: ["pipe", "pipe", "pipe", "ipc"],
      detached: true,
    },
  );
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  stderr.resume();
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`${options.name} ended (${signal ?? code})`));
  });
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited(child);
  };
  return { child, stdin, stdout, pid: child.pid ?? -1, ended, kill };
}

function nodeFlags(): readonly string[] {
  return [`--max-old-space-size=${HEAP_MEGABYTES}`, "--disallow-code-generation-from-strings"];
}

/** Where a link in /etc says that names are resolved, when that is elsewhere (systemd-resolved). */
function resolverFolders(): readonly Bind[] {
  const file = "/etc/resolv.conf";
  if (!existsSync(file)) return [];
  const folder = dirname(realpathSync(file));
  return folder.startsWith("/etc") || !/^nameserver/m.test(readFileSync(file, "utf8"))
    ? []
    : [{ from: folder, to: folder }];
}

/** Of a second handle Node never calls back when the process ends before it has acknowledged the first. */
function handOver(
  child: ChildProcess,
  message: { readonly listener: SidecarName; readonly role: ListenerRole },
  listener: Server,
): Promise<void> {
  return new Promise((resolve, reject) => {
    child.send(message, listener, {}, (error) => {
      // With two holders, the death of one would leave the guest waiting instead of refused.
      listener.close();
      if (error === null) resolve();
      else reject(error);
    });
  });
}
