/**
 * The bundle in one container: sidecars in the engine's own machine, where the guest may be, or beside it. The
 * container's sidecars have no capability, no way to gain one, a root that cannot be written to, and a user each: what
 * one has in memory and files is not for another that was taken over. What they are told, secrets among it, goes over
 * its stdin and is nowhere else (I2). It ends with whoever holds that: the keeper (I9).
 */
import { PassThrough, Writable } from "node:stream";
import { SIDECAR_NAMES, type SidecarName, type SidecarStreams } from "../contract/backend.ts";
import {
  DAEMONS_VARIABLE,
  framed,
  type InitOrder,
  initReportSchema,
  parseFramed,
} from "../contract/bundle-container.ts";
import type { ContainerMount, ContainerNetwork, PublishedPort } from "../engine/commands.ts";
import {
  createContainer,
  type Engine,
  publishedPort,
  removeContainer,
  startContainer,
} from "../engine/engine.ts";
import { bottleLabels } from "../engine/labels.ts";
import { UserError } from "../lib/errors.ts";
import { readLines } from "../lib/json-lines.ts";
import { answerWithin, pending } from "../lib/pending.ts";
import { printable } from "../lib/printable.ts";
import { exited } from "../lib/processes.ts";
import type { Scope } from "../lib/scope.ts";

/** An engine needs half a second, and a busy machine some more. */
const UP_TIMEOUT_MS = 60_000;
/** A program is started within milliseconds. */
const START_TIMEOUT_MS = 20_000;
/** Between the end of its stdin and `rm --force`: the init's own grace, and a bit. */
const STOP_TIMEOUT_MS = 10_000;
/** Threads and helpers of three Node programs, and git's. */
const PIDS = 512;
/** Its /tmp: git's and ssh's files while they work. */
const TMP_BYTES = 256 * 1024 * 1024;
const STDERR_TAIL_CHARACTERS = 1_000;

/** To start somebody as another user, and to end whom it started. */
const INIT_CAPABILITIES = ["SETUID", "SETGID", "KILL"] as const;
/** Where no distribution puts people or services, and which a container has that was given 65,536 users. */
const FIRST_SIDECAR_UID = 61_001;

export interface BundleContainer {
  readonly name: string;
  /** Starts one of its sidecars. @throws Error when it is gone, or does not start it. */
  start(name: SidecarName): Promise<SidecarStreams>;
  /** The host's port behind which that of a sidecar was published. */
  published(port: PublishedPort): Promise<number>;
  /** Resolves with a short reason once it is gone. */
  readonly ended: Promise<string>;
}

export interface BundleContainerRequest {
  readonly id: string;
  readonly image: string;
  readonly daemons: readonly SidecarName[];
  readonly network: ContainerNetwork;
  /** Addresses by name. */
  readonly hosts?: Readonly<Record<string, string>>;
  readonly publish?: readonly PublishedPort[];
  readonly mounts?: readonly ContainerMount[];
  /** Of git-gate, whose mirrors are the host's; never root's. The others have one each. */
  readonly uid: number;
}

/** Starts it and waits for its init. It goes with the scope. @throws UserError with the engine's words. */
export async function runBundleContainer(
  engine: Engine,
  request: BundleContainerRequest,
  scope: Scope,
): Promise<BundleContainer> {
  const name = `bot-bottle-${request.id}-sidecars`;
  scope.defer("sidecars' container", () => removeContainer(engine, name));
  await createContainer(engine, {
    name,
    image: request.image,
    labels: bottleLabels(request.id),
    network: request.network,
    publish: request.publish ?? [],
    hosts: request.hosts ?? {},
    mounts: [{ type: "tmpfs", to: "/tmp", bytes: TMP_BYTES }, ...(request.mounts ?? [])],
    env: { [DAEMONS_VARIABLE]: request.daemons.join(",") },
    // The init's: its sidecars are other users, and have nothing of these.
    user: "0:0",
    capabilities: INIT_CAPABILITIES,
    pids: PIDS,
  });
  const child = startContainer(engine, name);
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  let complaint = "";
  stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => {
      const words = printable(complaint.trim());
      resolve(`the sidecars' container ended (${signal ?? code})${words === "" ? "" : `: ${words}`}`);
    });
  });
  scope.defer("sidecars", async () => {
    stdin.end();
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exited(child);
    clearTimeout(late);
  });

  let gone = false;
  const sidecars = new Map<SidecarName, Running>();
  const order = (what: InitOrder): void => void stdin.write(framed("init", JSON.stringify(what)));
  const up = pending<void>();

  const hear = (line: string): void => {
    const message = parseFramed(line);
    if (message === undefined) return;
    if (message.name !== "init") {
      sidecars.get(message.name as SidecarName)?.stdout.write(`${message.rest}\n`);
      return;
    }
    const report = initReportSchema.parse(JSON.parse(message.rest));
    if ("daemons" in report) up.resolve();
    else if ("started" in report) sidecars.get(report.started)?.onStarted(report.pid);
    else {
      sidecars.get(report.ended)?.onEnded(report.reason);
      sidecars.delete(report.ended);
    }
  };
  const reading = (async () => {
    for await (const line of readLines(stdout)) hear(line);
  })();
  // An init that talks nonsense is none that can be trusted with what it is told.
  reading.catch(() => child.kill("SIGKILL"));
  void ended.then((reason) => {
    gone = true;
    for (const sidecar of sidecars.values()) sidecar.onEnded(reason);
    sidecars.clear();
  });

  await must(up.promise, ended, UP_TIMEOUT_MS, "the sidecars' container did not start");
  return {
    name,
    ended,
    published: (port) => publishedPort(engine, name, port),
    async start(service) {
      if (gone) throw new Error(await ended);
      if (sidecars.has(service)) throw new Error(`${service} runs already`);
      const stdoutOfIt = new PassThrough();
      const over = pending<string>();
      const started = pending<number>();
      sidecars.set(service, {
        stdout: stdoutOfIt,
        onStarted: started.resolve,
        onEnded(reason) {
          stdoutOfIt.end();
          over.resolve(reason);
        },
      });
      order({ start: service, uid: uidOf(service, request.uid) });
      await must(started.promise, over.promise, START_TIMEOUT_MS, `${service} did not start`);
      return {
        stdin: framing(service, stdin, () => order({ end: service })),
        stdout: stdoutOfIt,
        pid: await started.promise,
        ended: over.promise,
        async kill() {
          order({ kill: service });
          await over.promise;
        },
      };
    },
  };
}

/** @param own git-gate's. */
function uidOf(service: SidecarName, own: number): number {
  if (service === "git-gate") return own;
  const uid = FIRST_SIDECAR_UID + SIDECAR_NAMES.indexOf(service);
  return uid === own ? FIRST_SIDECAR_UID + SIDECAR_NAMES.length : uid;
}

interface Running {
  readonly stdout: PassThrough;
  onStarted(pid: number): void;
  onEnded(reason: string): void;
}

/** A stream whose lines go into `to` with the sidecar's name in front; its end is an order, and not `to`'s. */
function framing(name: SidecarName, to: Writable, end: () => void): Writable {
  let rest = "";
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      const text = lines.map((line) => framed(name, line)).join("");
      if (text === "" || to.destroyed || to.writableEnded) done();
      else to.write(text, () => done());
    },
    final(done) {
      end();
      done();
    },
  });
}

/** @throws UserError saying `what`, and why. */
async function must(
  step: Promise<unknown>,
  ended: Promise<string>,
  milliseconds: number,
  what: string,
): Promise<void> {
  const failure = await answerWithin(
    step.then(() => undefined),
    ended,
    milliseconds,
  );
  if (failure !== undefined) throw new UserError(`${what}: ${failure}`);
}
