/**
 * A stand-in for `smolvm`, release by release (`--as 0.8.0`), for hosts that cannot have the real one. Arguments, JSON,
 * exit codes, database and the documented holes are the release's; the guests are processes in namespaces and not
 * virtual machines, so a guest's kernel is the host's. Knows nothing of who drives it. Needs to be root.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createGuestClient, type GuestClient, guestSocket } from "../../../src/jail/guest-client.ts";
import { type Parsed, parse, UsageError } from "./arguments.ts";
import { isFolder } from "./guest-root.ts";
import { packCreate, readPack } from "./pack.ts";
import {
  deleteRecord,
  directoryOf,
  Failure,
  findRecord,
  insertRecord,
  listRecords,
  type MachineRecord,
} from "./records.ts";
import { type Release, releaseOf } from "./release.ts";
import { bootMachine } from "./vmm.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const AGENT = join(HERE, "agent.mjs");
const PROCESSORS = join(HERE, "processors.pl");
const READY_TIMEOUT_MS = 15_000;
/** How long after its start a machine kills what is run in it (A.8). */
const UNSETTLED_MS = 250;
/** At worst whatever is run first, however long after. */
const UNSETTLED_AT_WORST = 3;
/** Two that begin within it are one too many (A.8). */
const BEGINNING_MS = 10;
/** At worst for as long as the other one says nothing, or has been lost. */
const BEGINNING_AT_WORST_MS = 5_000;

type State = "created" | "running" | "stopped" | "failed" | "unreachable";

function nameOf(args: Parsed): string {
  return args.one("name") ?? args.positionals[0] ?? "default";
}

function create(release: Release, args: Parsed): void {
  const name = nameOf(args);
  if (listRecords().some((record) => record.name === name))
    throw new Failure(`machine '${name}' already exists`);
  const from = args.one("from");
  const image = args.one("image");
  if (from !== undefined && image !== undefined)
    throw new UsageError("the argument '--from <FROM>' cannot be used with '--image <IMAGE>'");
  for (const volume of args.all("volume"))
    if (!isFolder(volume.split(":")[0] ?? ""))
      throw new Failure(`volume source is not a directory: ${volume}`);
  const loses = from !== undefined && release.has("A.7.2");
  const ranges = [
    ...args.all("allow-cidr"),
    ...(args.flag("outbound-localhost-only") ? ["127.0.0.0/8", "::1/128"] : []),
  ];
  const hosts = args.all("allow-host");
  for (const host of hosts) if (host.includes(":")) throw new Failure(`invalid host pattern: ${host}`);
  const limited = !loses && (ranges.length > 0 || hosts.length > 0);
  const backend = args.one("net-backend") ?? null;
  if (backend === "virtio-net" && limited && release.before(1, 1, 3))
    throw new Failure("network policies need the tsi backend");
  const packed = from === undefined ? undefined : readPack(resolve(from)).manifest;
  insertRecord({
    name,
    created_at: Math.floor(Date.now() / 1000),
    cpus: Number(args.one("cpus") ?? packed?.cpus ?? 4),
    memory_mib: Number(args.one("mem") ?? packed?.mem ?? 8192),
    storage_gb: Number(args.one("storage") ?? 20),
    overlay_gb: args.one("overlay") === undefined ? null : Number(args.one("overlay")),
    // A pack has a network with --net alone; elsewhere a policy brings one with it.
    network: args.flag("net") || (from === undefined ? limited : packed?.network === true),
    network_backend: backend === "virtio-net" || backend === "tsi" ? backend : null,
    allowed_cidrs: limited && ranges.length > 0 ? ranges : null,
    dns_filter_hosts: limited && hosts.length > 0 ? hosts : null,
    env: args.all("env").map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]),
    workdir: loses ? null : (args.one("workdir") ?? null),
    mount_sockets: args.all("mount-socket"),
    labels: Object.fromEntries(args.all("label").map((pair) => pair.split("="))),
    source: sourceOf(release, from, image),
    image: packed?.image ?? image ?? null,
    ephemeral: false,
  });
  process.stdout.write(`Created machine: ${name}\n`);
}

function sourceOf(
  release: Release,
  from: string | undefined,
  image: string | undefined,
): MachineRecord["source"] {
  if (from !== undefined) return { kind: "pack", path: resolve(from) };
  if (image !== undefined && existsSync(image)) {
    if (release.before(1, 1, 0)) throw new Failure(`invalid image reference: ${image}`);
    return { kind: isFolder(image) ? "folder" : "archive", path: resolve(image) };
  }
  return { kind: "host", path: image ?? "" };
}

function vmmOf(name: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(directoryOf(name), "vmm.pid"), "utf8"));
    const [, , state] = /^(\d+) \(.*\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
    const isOurs = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(
      `/vms/${basename(directoryOf(name))}/boot-config.json`,
    );
    return isOurs && state !== "Z" ? pid : undefined;
  } catch {
    return undefined;
  }
}

function answers(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(join(directoryOf(name), "agent.sock"));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

async function stateOf(name: string): Promise<State> {
  if (vmmOf(name) !== undefined) return (await answers(name)) ? "running" : "unreachable";
  return existsSync(join(directoryOf(name), "vmm.pid")) ? "stopped" : "created";
}

async function start(release: Release, args: Parsed, self: readonly string[]): Promise<void> {
  const name = nameOf(args);
  findRecord(name);
  switch (await stateOf(name)) {
    case "running":
      process.stdout.write(`Machine '${name}' is already running\n`);
      return;
    case "unreachable":
      throw new Failure(`machine '${name}' is already starting or its agent does not answer`);
    default:
  }
  const folder = directoryOf(name);
  mkdirSync(folder, { recursive: true });
  rmSync(join(folder, "agent.sock"), { force: true });
  const log = openSync(join(folder, "console.log"), "a");
  // Its arguments name that file, and not the machine.
  const config = join(folder, "boot-config.json");
  writeFileSync(config, JSON.stringify({ name }));
  const words = [PROCESSORS, ...self, "_boot-vm", config];
  const vmm = spawn("perl", words, { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  vmm.unref();
  const gone = new Promise<boolean>((resolve) => vmm.once("exit", () => resolve(true)));
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    if (await Promise.race([gone, pause(10, false)])) break;
    if (release.fails("start") && Date.now() > deadline - READY_TIMEOUT_MS + 200) break;
    if (
      await client(name)
        .watch()
        .then(
          () => true,
          () => false,
        )
    ) {
      writeFileSync(join(folder, "ready"), "");
      writeFileSync(join(folder, "unsettled"), release.opens("A.8-exec") ? String(UNSETTLED_AT_WORST) : "0");
      process.stdout.write(`Machine '${name}' started\n`);
      return;
    }
    if (Date.now() > deadline) break;
  }
  // With its processors it is a group.
  if (!release.has("A.8-orphan")) endGroup(vmm.pid);
  throw new Failure(
    `failed to boot machine '${name}': agent did not become ready: ${lastLine(join(folder, "console.log"))}`,
  );
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function lastLine(path: string): string {
  return readFileSync(path, "utf8").trim().split("\n").at(-1) ?? "";
}

function client(name: string): GuestClient {
  return createGuestClient(guestSocket(join(directoryOf(name), "agent.sock")));
}

async function stop(name: string): Promise<void> {
  findRecord(name);
  const pid = vmmOf(name);
  if (pid === undefined) return;
  process.kill(pid, "SIGTERM");
  for (let i = 0; i < 500 && vmmOf(name) !== undefined; i++) await pause(10);
  if (vmmOf(name) !== undefined) throw new Failure(`machine '${name}' did not stop`);
}

async function remove(release: Release, args: Parsed): Promise<void> {
  const name = nameOf(args);
  findRecord(name);
  if (!args.flag("force")) {
    process.stdout.write(`Delete machine '${name}'? [y/N] Cancelled\n`);
    return;
  }
  await stop(name).catch((error: Error) => {
    if (!release.before(1, 0, 0)) throw error;
    process.stderr.write(`warning: ${error.message}\n`);
  });
  deleteRecord(name);
  rmSync(directoryOf(name), { recursive: true, force: true });
  process.stdout.write(`Deleted machine: ${name}\n`);
}

async function describe(release: Release, record: MachineRecord): Promise<Readonly<Record<string, unknown>>> {
  const { name, created_at, cpus, memory_mib, storage_gb, overlay_gb, image, ephemeral, network, labels } =
    record;
  return {
    ...{
      name,
      state: await stateOf(name),
      cpus,
      memory_mib,
      pid: vmmOf(name) ?? null,
      mounts: 0,
      ports: 0,
      created_at,
    },
    ...{ storage_gb, overlay_gb, image, entrypoint: null, cmd: null, ephemeral, gpu: false, network },
    ...{ restart_policy: "never", restart_count: 0 },
    ...(!release.before(1, 9, 0) && { labels }),
  };
}

async function exec(release: Release, args: Parsed): Promise<number> {
  const name = nameOf(args);
  findRecord(name);
  const [program, ...rest] = args.command;
  if (program === undefined)
    throw new UsageError("the following required arguments were not provided: <COMMAND>...");
  if ((await stateOf(name)) !== "running")
    throw new Failure(`machine '${name}' is not running. Use 'smolvm machine start --name ${name}' first`);
  if (release.has("A.8-exec") && racesWithAnother(release, name)) return signalled(release, "SIGKILL", 9);
  // What `create` was given is not among it (facts 4.2).
  const env = Object.fromEntries(
    args.all("env").map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  const tty = args.flag("tty");
  const argv = (
    tty ? ["sh", "-c", 'stty cols 0 rows 0; exec "$@"', "sh", program, ...rest] : [program, ...rest]
  ) as [string, ...string[]];
  const execution = await client(name)
    .exec(argv, {
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", ...env },
      cwd: args.one("workdir") ?? "/",
      ...(tty && { tty: { cols: 80, rows: 24 } }),
    })
    .catch((error: Error) => {
      throw new Failure(`exec failed: ${error.message}`);
    });
  if (release.opens("A.8-exec")) {
    const begun = (): void => rmSync(join(directoryOf(name), "exec-begins"), { force: true });
    execution.stdout.once("data", begun);
    void execution.exit.then(begun);
  }
  if (args.flag("interactive")) {
    if (tty && process.stdin.isTTY) process.stdin.setRawMode(true);
    process.stdin.pipe(execution.stdin);
  } else execution.stdin.end();
  execution.stdin.on("error", () => {});
  // Without one of these what it writes is kept until it has ended.
  const live = args.flag("interactive") || tty || args.flag("stream");
  const outputs = [
    [execution.stdout, process.stdout],
    [execution.stderr, process.stderr],
  ] as const;
  for (const [from, to] of outputs) {
    to.on("error", () => from.destroy());
    if (live) from.pipe(to, { end: false });
  }
  const kept = live ? [] : outputs.map(([from]) => from.toArray());
  const status = await execution.exit;
  for (const [i, chunks] of kept.entries()) outputs[i]?.[1].write(Buffer.concat((await chunks) as Buffer[]));
  // A terminal's is read to its end; elsewhere somebody may have been left with the output open.
  const read = outputs.map(
    ([from]) => from.readableEnded || from.destroyed || new Promise((done) => from.once("close", done)),
  );
  if (live) await Promise.race([Promise.all(read), ...(tty ? [] : [pause(100)])]);
  switch (status.kind) {
    case "exited":
      return status.code;
    case "signalled":
      return signalled(
        release,
        status.signal,
        { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[status.signal as "SIGHUP"] ?? 6,
      );
    case "lost":
      throw new Failure(`connection to the machine was lost: ${status.reason}`);
  }
}

function signalled(release: Release, _signal: string, number: number): number {
  return release.has("A.3-signal") ? 255 : 128 + number;
}

function racesWithAnother(release: Release, name: string): boolean {
  const folder = directoryOf(name);
  const age = (file: string): number =>
    existsSync(join(folder, file))
      ? Date.now() - statSync(join(folder, file)).mtimeMs
      : Number.POSITIVE_INFINITY;
  const unsettled = join(folder, "unsettled");
  const killed = Number(readFileSync(unsettled, "utf8"));
  if (killed > 0) {
    writeFileSync(unsettled, String(killed - 1));
    return true;
  }
  const races =
    age("ready") < UNSETTLED_MS ||
    age("exec-begins") < (release.opens("A.8-exec") ? BEGINNING_AT_WORST_MS : BEGINNING_MS);
  // At worst whoever was killed leaves nothing that anybody else would meet.
  if (races && release.opens("A.8-exec")) return true;
  writeFileSync(join(folder, "exec-begins"), "");
  utimesSync(join(folder, "exec-begins"), new Date(), new Date());
  return races;
}

async function copy(args: Parsed): Promise<number> {
  const [from = "", to = ""] = args.positionals;
  const inGuest = [from, to].map((side) => /^([^/:]+):(\/.*)$/s.exec(side) ?? []);
  const [name = "", path = ""] = (inGuest[0]?.[1] === undefined ? inGuest[1] : inGuest[0])?.slice(1) ?? [];
  if (name === "" || (inGuest[0]?.[1] !== undefined) === (inGuest[1]?.[1] !== undefined))
    throw new Failure("exactly one side must be machine:path");
  if ((await stateOf(name)) !== "running") throw new Failure(`machine '${name}' is not running`);
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  if (inGuest[1]?.[1] !== undefined) {
    if (!existsSync(from) || isFolder(from)) throw new Failure(`not a file: ${from}`);
    const owner = `${args.one("uid") ?? 0}:${args.one("gid") ?? 0}`;
    const mode = args.one("mode") ?? "644";
    const script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chown "$2" "$1" && chmod "$3" "$1"';
    const execution = await client(name).exec(["sh", "-c", script, "sh", path, owner, mode], {
      env,
      cwd: "/",
    });
    execution.stdin.end(readFileSync(from));
    execution.stdout.resume();
    const complaint = (await execution.stderr.toArray()).join("");
    const status = await execution.exit;
    if (status.kind !== "exited" || status.code !== 0) throw new Failure(`cp failed: ${complaint.trim()}`);
    return 0;
  }
  const execution = await client(name).exec(["cat", path], { env, cwd: "/" });
  execution.stdin.end();
  execution.stderr.resume();
  writeFileSync(to, Buffer.concat((await execution.stdout.toArray()) as Buffer[]));
  const status = await execution.exit;
  if (status.kind !== "exited" || status.code !== 0) throw new Failure(`cp failed: no such file: ${path}`);
  return 0;
}

async function run(release: Release, argv: readonly string[], self: readonly string[]): Promise<number> {
  const [group = "", verb = "", ...rest] = argv;
  if (group === "--version" || group === "-V") {
    process.stdout.write(`smolvm ${release.version}\n`);
    return 0;
  }
  if (group === "_boot-vm") {
    const { name } = JSON.parse(readFileSync(verb, "utf8")) as { name: string };
    return bootMachine(release, name, AGENT);
  }
  const aliases: Readonly<Record<string, string>> = { vm: "machine", rm: "delete", list: "ls" };
  const words = `${aliases[group] ?? group} ${aliases[verb] ?? verb}`;
  const args = parse(release, words, rest);
  switch (words) {
    case "machine create":
      create(release, args);
      return 0;
    case "machine start":
      await start(release, args, self);
      return 0;
    case "machine stop":
      await stop(nameOf(args));
      process.stdout.write(`Machine '${nameOf(args)}' stopped\n`);
      return 0;
    case "machine delete":
      await remove(release, args);
      return 0;
    case "machine exec":
      return exec(release, args);
    case "machine cp":
      return copy(args);
    case "machine status": {
      const status = await describe(release, findRecord(nameOf(args)));
      process.stdout.write(
        args.flag("json") ? `${JSON.stringify(status, null, 2)}\n` : `${status["name"]} ${status["state"]}\n`,
      );
      return 0;
    }
    case "machine ls": {
      const all = await Promise.all(listRecords().map((record) => describe(release, record)));
      process.stdout.write(
        args.flag("json")
          ? `${JSON.stringify(all, null, 2)}\n`
          : all.map(({ name, state }) => `${name} ${state}\n`).join(""),
      );
      return 0;
    }
    case "machine data-dir":
      process.stdout.write(`${directoryOf(nameOf(args))}\n`);
      return 0;
    case "pack create":
      await packCreate(release, args, (name) => {
        findRecord(name);
        if (vmmOf(name) !== undefined) throw new Failure(`machine '${name}' must be stopped first`);
        return join(directoryOf(name), "rootfs");
      });
      return 0;
    case "pack inspect":
      process.stdout.write(`${JSON.stringify(readPack(args.positionals[0] ?? "").manifest)}\n`);
      return 0;
    default:
      throw new UsageError(`unrecognized subcommand '${words}'`);
  }
}

/** `--as VERSION [--close HOLE]… [--open HOLE]… [--fail STEP]… --`, written by whoever installed it; then the operator's words. */
const own = process.argv.slice(2);
const end = own.indexOf("--");
const settings = (name: string): readonly string[] =>
  own.slice(0, end).flatMap((word, i, words) => (word === name ? [words[i + 1] ?? ""] : []));
const release = releaseOf(
  settings("--as")[0] ?? "",
  settings("--close"),
  settings("--fail"),
  settings("--open"),
);
const self = [process.execPath, ...process.argv.slice(1, 2), ...own.slice(0, end + 1)];
try {
  process.exitCode = await run(release, own.slice(end + 1), self);
  // What is piped may still be on its way; whatever else keeps this alive must not.
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write("", resolve))),
  );
  process.exit();
} catch (error) {
  if (error instanceof UsageError)
    process.stderr.write(`error: ${error.message}\n\nFor more information, try '--help'.\n`);
  else
    process.stderr.write(
      `Error: ${error instanceof Error ? (error instanceof Failure ? error.message : error.stack) : String(error)}\n`,
    );
  process.exit(error instanceof UsageError ? 2 : 1);
}
