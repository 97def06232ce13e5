/**
 * One bottle's life, from start to stop, in which something dies or fails at one step; then `bottle cleanup`; and what is
 * there now that was not there before (I9).
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BackendHost } from "./backend-hosts.ts";
import { eventually, isAlive, killIfThere, pause, type Run, type Running } from "./bottle-cli.ts";
import { differences, filesOf } from "./private-host.ts";

export const FAULTS = ["fail", "keeper", "command", "sidecar", "guest", "engine"] as const;
/** `fail`: the call throws. The others: who is killed while the keeper is at that step. */
export type Fault = (typeof FAULTS)[number];

export interface Strike {
  readonly step: string;
  /** The first alone, if that is the call's or the keeper's; else whichever is the first of which there is somebody. */
  readonly faults: readonly Fault[];
}

export interface Aftermath {
  /** Undefined when the step was not come to, or there was nobody to be killed. */
  readonly struck: Fault | undefined;
  /** Left on the host by `bottle cleanup`, kept work aside. */
  readonly afterCleanup: readonly string[];
  /** Left once kept bottles were removed too. */
  readonly left: readonly string[];
  /** What else went wrong. */
  readonly problems: readonly string[];
}

/** To a bottle that is up, or undone; an emulated machine takes its time. */
const COMMAND_MS = 120_000;
/** What the kernel takes to bury, and an engine to notice. */
const BURIAL_MS = 30_000;

/** The steps that a life has when nothing goes wrong, in the order in which they come; caches are full afterwards. */
export async function stepsOf(host: BackendHost): Promise<readonly string[]> {
  const folder = mkdtempSync("/var/tmp/bbs-");
  try {
    const log = join(folder, "steps");
    appendFileSync(log, "");
    await live(host, { STEPS_LOG: log }, successOf);
    await host.cli.run(["rm", "--force", ...host.cli.kept()]);
    return [...new Set(linesOf(log).map(([, step]) => step))];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param before what there was: {@link BackendHost.look} and files. */
export async function strike(
  host: BackendHost,
  { step, faults }: Strike,
  before: readonly string[],
): Promise<Aftermath> {
  const folder = mkdtempSync("/var/tmp/bbs-");
  const log = join(folder, "steps");
  appendFileSync(log, "");
  const [first] = faults;
  const how = first === "fail" ? "fail" : first === "keeper" ? "die" : "stop";
  const problems: string[] = [];
  try {
    let struck: Fault | undefined;
    await live(host, { STEPS_LOG: log, STEP_AT: step, STEP_DO: how }, async (command) => {
      if (how !== "stop" || existsSync(`${log}.go`)) return;
      await reached(command, log);
      if (!linesOf(log).some(([, each]) => each === "stands still")) return;
      for (const fault of faults.filter((each) => each !== "fail" && each !== "keeper")) {
        const victims = host.victims(fault);
        for (const pid of victims) killIfThere(pid);
        if (victims.length === 0) continue;
        struck = fault;
        break;
      }
      writeFileSync(`${log}.go`, "");
    }).catch((error: unknown) => problems.push(String(error)));
    if (how !== "stop" && linesOf(log).some(([, each]) => each === step)) struck = first;
    if (struck === "engine") await host.reviveEngine?.();
    const settled = await settle(host, before);
    if (struck === "engine") await host.endForgotten?.();
    return { struck, ...settled, problems: [...problems, ...settled.problems] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Starts a bottle and stops it. @param during is called with each command, which may have ended. */
async function live(
  { cli }: BackendHost,
  env: Readonly<Record<string, string>>,
  during: (command: Running) => Promise<void> = async () => {},
): Promise<void> {
  const before = new Set(cli.kept());
  const start = cli.begin(["start", "struck", "--detach", "--yes"], { env });
  await during(start);
  const { code, stdout } = await inTime(start, "bottle start");
  const id = code === 0 ? stdout.trim() : cli.kept().find((each) => !before.has(each));
  if (id === undefined) return;
  // Its keeper may be there, at work on the launch's undoing or on the bottle.
  const stop = cli.begin(["stop", id], { env });
  await during(stop);
  await inTime(stop, "bottle stop");
}

async function successOf(command: Running): Promise<void> {
  const { code, stderr } = await command.ended;
  if (code !== 0) throw new Error(stderr);
}

async function inTime(command: Running, what: string): Promise<Run> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} does not end`)), COMMAND_MS);
  });
  return Promise.race([command.ended, late]).finally(() => clearTimeout(timer));
}

async function reached(command: Running, log: string): Promise<void> {
  let isOver = false;
  command.ended.then(
    () => {
      isOver = true;
    },
    () => {},
  );
  while (!isOver && !linesOf(log).some(([, step]) => step === "stands still")) await pause(10);
}

function linesOf(log: string): readonly (readonly [string, string])[] {
  return readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)] as const);
}

/** What `cleanup` and then `rm` leave. */
async function settle(host: BackendHost, before: readonly string[]): Promise<Omit<Aftermath, "struck">> {
  const { cli } = host;
  const problems: string[] = [];
  const keepers = (): readonly number[] =>
    cli.processes().filter((pid) => isAlive(pid) && /bottle\.js keeper$/.test(cli.commandOf(pid)));
  await eventually("the keeper's end", () => (keepers().length === 0 ? true : undefined)).catch(
    (error: unknown) => {
      problems.push(String(error));
      for (const pid of keepers()) killIfThere(pid);
    },
  );
  const told = async (...args: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await cli.run(args);
    if (code !== 0) problems.push(`bottle ${args.join(" ")}: exit ${code}: ${stdout}${stderr}`);
  };
  await told("cleanup", "--yes");
  const kept = new Set((await cli.list()).flatMap(({ id, state }) => (state === "kept" ? [id] : [])));
  const isKept = (line: string): boolean =>
    [...kept].some((id) => line.includes(join(cli.home, "state", id)) || host.isKeptDisk(line, id));
  const afterCleanup = await lasting(host, before, (line) => !isKept(line));
  if (kept.size > 0) await told("rm", "--force", ...kept);
  return { afterCleanup, left: await lasting(host, before), problems };
}

/** What is there, and was not, once everybody who is on their way out is gone. */
export async function lasting(
  host: BackendHost,
  before: readonly string[],
  counts: (line: string) => boolean = () => true,
): Promise<readonly string[]> {
  const deadline = Date.now() + BURIAL_MS;
  for (;;) {
    const found = differences(before, await wholeOf(host)).filter(counts);
    if (found.length === 0 || Date.now() > deadline) return found;
    await pause(50);
  }
}

/** Everything there is on the host, logs of what happened aside. */
export async function wholeOf(host: BackendHost): Promise<readonly string[]> {
  return [...(await host.look()), ...filesOf(host.cli.root).filter((line) => !line.includes("/audit/"))];
}
