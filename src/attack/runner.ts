/** Runs every probe and its control in a world, in the order of their groups, and says what came of each. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { readLines } from "../lib/json-lines.ts";
import { packagePath } from "../lib/package-root.ts";
import { exited } from "../lib/processes.ts";
import { expectationOf, isHeld, isLate, type Judged, judge } from "./judge.ts";
import { argvOf } from "./languages.ts";
import {
  type Capabilities,
  GROUPS,
  type Group,
  type Invariant,
  node,
  type Probe,
  type Seen,
  type Step,
} from "./probe.ts";
import { GUEST_KIT, type World } from "./world/world.ts";

/** Of a program that hangs, unless its probe knows better: what is emulated on a busy host takes a quarter of a minute. */
const TIMEOUT_MS = 45_000;
/** A refusal that was slow by chance is quick when it is tried again. */
const FURTHER_TRIES = 2;
/** A guest that makes itself out to be slower than this gains nothing by it. */
const MAX_ALLOWED_MS = 9_000;
/** For a way into a guest, on a busy host. */
const COME_IN_MS = 60_000;
const GUEST_HOME = "/home/node";
/** Groups whose programs ask over the network, and so are nothing but what they send: it may come from one process. */
const SHARING: ReadonlySet<Group> = new Set([
  "addresses",
  "names",
  "protocols",
  "proxy",
  "exfiltration",
  "pushes",
  "own-parts",
]);

export interface ProbeResult extends Judged {
  readonly id: string;
  readonly invariant: Invariant;
  readonly group: Group;
  readonly tries: string;
  readonly expected: string;
  /** What was seen inside, in words. */
  readonly seen: string;
  /** Of the whole program, inside. */
  readonly seconds: number;
  /** Of the refusal alone. */
  readonly refusalSeconds: number | null;
  readonly control: string;
  readonly held: boolean;
}

/** @param signal gives the rest up: once this rejects, no program runs any more, or writes where everything is removed. */
export async function runProbes(
  probes: readonly Probe[],
  world: World,
  has: Capabilities,
  onResult: (result: ProbeResult) => void,
  signal: AbortSignal,
): Promise<readonly ProbeResult[]> {
  const results: ProbeResult[] = [];
  let allowedMs = 0;
  const conclude = (probe: Probe, seen: Seen | undefined, control: Seen | undefined): void => {
    const result = resultOf(probe, seen, control, judge(probe, seen, control, has, allowedMs));
    results.push(result);
    onResult(result);
  };

  const all = (members: readonly Probe[], side: Side): Promise<ReadonlyMap<string, Seen>> =>
    runAll(members, world, side, signal);
  const attacked = async (members: readonly Probe[]): Promise<ReadonlyMap<string, Seen>> => {
    if (has.nativeProcessor || members.every(({ slow }) => slow !== undefined)) return all(members, "attack");
    const seen = await all([...members, ALLOWED], "attack");
    allowedMs = Math.max(allowedMs, allowedMsIn(seen));
    return seen;
  };
  const during = probes.filter(({ after }) => after !== true);
  const afterwards = probes.filter(({ after }) => after === true);
  // What is there now is what will have to be gone.
  const controlsOfLater = await all(afterwards, "control");
  for (const group of GROUPS) {
    const members = during.filter((probe) => probe.group === group);
    if (members.length === 0) continue;
    allowedMs = 0;
    const attacks = attacked(members);
    // What is to be used up is used up by one of them at a time.
    if (group === "resources") await attacks;
    const controlling = all(members, "control");
    // Each to its end: nothing of one may run while what is around it is taken down for the other.
    await Promise.allSettled([attacks, controlling]);
    const [seen, controls] = [await attacks, await controlling];
    const isTooLate = (probe: Probe, one: Seen | undefined): boolean => isLate(probe, one, allowedMs);
    const best = await retried(members, seen, isTooLate, attacked);
    for (const probe of members) conclude(probe, best.get(probe.id), controls.get(probe.id));
  }
  if (afterwards.length > 0) {
    await world.endBottles();
    world.look("AFTER");
    allowedMs = 0;
    const seen = await all(afterwards, "attack");
    for (const probe of afterwards) conclude(probe, seen.get(probe.id), controlsOfLater.get(probe.id));
  }
  return results;
}

/** Refusals that came too late are asked for again: noise passes, a time-out does not. */
async function retried(
  probes: readonly Probe[],
  first: ReadonlyMap<string, Seen>,
  isTooLate: (probe: Probe, seen: Seen | undefined) => boolean,
  again: (late: readonly Probe[]) => Promise<ReadonlyMap<string, Seen>>,
): Promise<ReadonlyMap<string, Seen>> {
  const best = new Map(first);
  for (let tries = 0; tries < FURTHER_TRIES; tries++) {
    const late = probes.filter((probe) => isTooLate(probe, best.get(probe.id)));
    if (late.length === 0) break;
    // What is not refused the second time is told as it is.
    for (const [id, seen] of await again(late)) {
      const earlier = best.get(id);
      const isSlower =
        seen.kind === "refused" && earlier?.kind === "refused" && seen.refusalMs >= earlier.refusalMs;
      if (!isSlower) best.set(id, seen);
    }
  }
  return best;
}

/** Runs with the attacks where programs are slow for their processor's sake: an answer that is allowed. */
const ALLOWED: Probe = {
  id: "reference-allowed",
  invariant: "I10",
  group: "proxy",
  tries: "asks for what is allowed",
  attack: [node('curl("https://" + env.ALLOWED_HOST + "/")')],
  refused: [],
  control: "outside",
};

function allowedMsIn(seen: ReadonlyMap<string, Seen>): number {
  const one = seen.get(ALLOWED.id);
  return one?.kind === "got" ? Math.min(MAX_ALLOWED_MS, one.ms) : 0;
}

type Side = "attack" | "control";

/** Where a step runs, and with which variables. */
type Runs = "guest" | "neighbour" | "host" | "outside";

function stepsOf(probe: Probe, side: Side): readonly { readonly step: Step; readonly runs: Runs }[] {
  if (side === "attack") return probe.attack.map((step) => ({ step, runs: step.at }));
  if (probe.control === "outside") return probe.attack.map((step) => ({ step, runs: "outside" as const }));
  return probe.control.map((step) => ({ step, runs: step.at === "host" ? ("outside" as const) : step.at }));
}

/** What runs at one place goes there together: a way into a guest costs more than most programs. */
async function runAll(
  probes: readonly Probe[],
  world: World,
  side: Side,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Seen>> {
  const seen = new Map<string, Seen>();
  for (const { runs, members } of batchesOf(probes, side)) {
    for (const [id, one] of await runBatch(runs, members, world, signal)) {
      const earlier = seen.get(id);
      // What could not be prepared was not tried; else the last step says what came of it.
      seen.set(id, earlier?.kind === "not-run" ? earlier : one);
    }
  }
  return seen;
}

interface Batch {
  readonly runs: Runs;
  readonly members: readonly Member[];
}

/** Each probe's steps in their order, and the probes' in theirs; who has most to come goes first, and what looks at it all last. */
function batchesOf(probes: readonly Probe[], side: Side): readonly Batch[] {
  const waiting = probes.map((probe) => ({ probe, steps: [...stepsOf(probe, side)] }));
  const batches: Batch[] = [];
  for (;;) {
    const most = Math.max(0, ...waiting.map(({ steps }) => steps.length));
    const runs = waiting.find(({ steps }) => steps.length === most)?.steps[0]?.runs;
    if (runs === undefined) return batches;
    const members = waiting.flatMap(({ probe: { id, group, timeoutMs }, steps }) => {
      const elsewhere = steps.findIndex((step) => step.runs !== runs);
      const here = steps.splice(0, elsewhere < 0 ? steps.length : elsewhere);
      return here.map(({ step }) => ({ id, step, shares: SHARING.has(group), timeoutMs }));
    });
    batches.push({ runs, members });
  }
}

interface Member {
  readonly id: string;
  readonly step: Step;
  /** With a process of other programs. */
  readonly shares: boolean;
  readonly timeoutMs?: number | undefined;
}

async function runBatch(
  runs: Runs,
  members: readonly Member[],
  world: World,
  signal: AbortSignal,
): Promise<readonly (readonly [string, Seen])[]> {
  signal.throwIfAborted();
  const inside = runs === "guest" || runs === "neighbour";
  const env = inside ? world.env.guest : world.env[runs];
  const orders = members.map(({ id, step, shares, timeoutMs = TIMEOUT_MS }) => ({
    id,
    argv: argvOf(step, inside ? GUEST_KIT : world.kit),
    env,
    cwd: inside
      ? runs === "guest"
        ? `${GUEST_HOME}/workspace`
        : GUEST_HOME
      : runs === "outside"
        ? world.folders.outside
        : world.folders.host,
    timeoutMs,
    ...(shares && step.language === "node" && { shared: step.text }),
  }));
  const lines: string[] = [];
  const stdin = orders.map((order) => `${JSON.stringify(order)}\n`).join("");
  // Each is ended by itself before; this is for a guest that says nothing of it.
  const timeoutMs = orders.reduce((sum, order) => sum + order.timeoutMs, COME_IN_MS);
  let complaint = "";
  if (inside) {
    const id = runs === "guest" ? world.ids.attacked : world.ids.neighbour;
    const { stderr } = await world.operator.bottle(
      ["exec", "-T", id, "--", "node", `${GUEST_KIT}/attack-run.mjs`],
      { stdin, onLine: (line) => lines.push(line), signal, timeoutMs },
    );
    complaint = stderr;
  } else {
    complaint = await runHere(runs === "outside" ? APART : [], stdin, env, lines, signal);
  }
  signal.throwIfAborted();
  const said = new Map<string, Said[]>();
  for (const line of lines) {
    const one = parsed(line);
    if (one !== undefined) said.set(one.id, [...(said.get(one.id) ?? []), one]);
  }
  return members.map(({ id }) => {
    const one = said.get(id)?.shift();
    const nothing = {
      kind: "not-run",
      words: `nothing was heard of it: ${complaint.trim().slice(-200)}`,
      ms: 0,
    } as const;
    return [id, one === undefined ? nothing : seenIn(one)] as const;
  });
}

/**
 * Where there is no outer world a control runs on the host itself: the file system that root is to be seen to mount
 * would lie over everybody's homes from then on. Who may make no namespace for it may not mount either.
 */
const APART = [
  ...[
    "sh",
    "-c",
    'unshare --mount true 2>/dev/null && exec unshare --mount --propagation private "$@"; exec "$@"',
  ],
  "sh",
];

async function runHere(
  words: readonly string[],
  stdin: string,
  env: Readonly<Record<string, string>>,
  lines: string[],
  signal: AbortSignal,
): Promise<string> {
  const program = [...words, process.execPath, join(packagePath("dist/programs"), "attack-run.mjs")];
  const [command = "", ...args] = program;
  const child = spawn(command, args, {
    env: { ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  // It ends what it runs first.
  const end = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", end, { once: true });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-1_000);
  });
  for await (const line of readLines(child.stdout)) lines.push(line);
  await exited(child);
  signal.removeEventListener("abort", end);
  return complaint;
}

/** A line of attack-run's. Inside it is a hostile guest's word: it is believed in no more than its own probe. */
interface Said {
  readonly id: string;
  readonly ms: number;
  readonly line?: string;
  readonly end: string;
  readonly words: string;
}

function parsed(line: string): Said | undefined {
  try {
    const said = JSON.parse(line) as Partial<Said>;
    return typeof said.id === "string" && typeof said.ms === "number" ? (said as Said) : undefined;
  } catch {
    return undefined;
  }
}

function seenIn({ line, ms, end, words }: Said): Seen {
  if (line === undefined) return { kind: "not-run", words: `${end}: ${words}`, ms };
  try {
    const told = JSON.parse(line) as {
      readonly seen?: string;
      readonly code?: string;
      readonly words?: string;
      readonly ms?: number;
      readonly explained?: boolean;
    };
    const said = told.words ?? "";
    switch (told.seen) {
      case "got":
        return { kind: "got", words: said, ms };
      case "refused":
        return {
          kind: "refused",
          code: told.code ?? "",
          words: said,
          explained: told.explained === true,
          refusalMs: told.ms ?? ms,
          ms,
        };
      default:
        return { kind: "not-run", words: said, ms };
    }
  } catch {
    return { kind: "not-run", words: `no verdict: ${line.slice(0, 100)}`, ms };
  }
}

function resultOf(
  probe: Probe,
  seen: Seen | undefined,
  control: Seen | undefined,
  judged: Judged,
): ProbeResult {
  const { id, invariant, group, tries } = probe;
  return {
    ...{ id, invariant, group, tries },
    expected: expectationOf(probe),
    seen: inWords(seen),
    seconds: rounded(seen?.ms ?? 0),
    refusalSeconds: seen?.kind === "refused" ? rounded(seen.refusalMs) : null,
    control: inWords(control),
    held: isHeld(judged),
    ...judged,
  };
}

function inWords(seen: Seen | undefined): string {
  switch (seen?.kind) {
    case undefined:
      return "not tried";
    case "got":
      return `succeeded: ${seen.words}`;
    case "refused":
      return `refused: ${seen.code}`;
    case "not-run":
      return `not run: ${seen.words}`;
  }
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10_000;
}
