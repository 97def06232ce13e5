/** One machine of smolvm's: made once, started for each life of its bottle, and stopped without a trace. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Guest } from "../../contract/backend.ts";
import { codeOf, messageOf, UserError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import {
  createCommand,
  deleteCommand,
  execCommand,
  listCommand,
  type MachineSpec,
  startCommand,
  statusCommand,
  stopCommand,
} from "./commands.ts";
import { createFreezer } from "./freezer.ts";
import { killMachine } from "./machine-processes.ts";
import type { Room } from "./room.ts";
import { type Call, must, SLOW_TIMEOUT_MS, type Smolvm } from "./smolvm.ts";
import type { StateFolder } from "./state-folder.ts";

export const MACHINE_PREFIX = "bot-bottle-";
/** From `start` to a guest that runs what it is told: a second where it is slow. */
const READY_TIMEOUT_MS = 30_000;
const READY_PAUSE_MS = 40;

const machineSchema = z.looseObject({
  name: z.string(),
  state: z.string(),
  pid: z.number().int().nullable().optional(),
});
type MachineState = z.infer<typeof machineSchema>;

const madeSchema = z.strictObject({
  version: z.literal(1),
  /** What it was made by: another one would have another network. */
  argv: z.array(z.string()),
  smolvm: z.string(),
  /** Its first life got as far as an agent could. */
  ready: z.boolean(),
});

export interface Machine {
  readonly name: string;
  /** No agent ever ran in it. */
  readonly firstLife: boolean;
  start(): Promise<void>;
  stop(): Promise<void>;
  readonly freezer: Required<Guest>["freezer"];
  /** From now on it has had a life. */
  markReady(): Promise<void>;
}

export interface MachineRequest {
  readonly smolvm: Smolvm;
  readonly call: Call;
  readonly spec: MachineSpec;
  /** smolvm's state. */
  readonly folder: StateFolder;
  readonly room: Room | undefined;
}

/**
 * Makes the machine, or finds the one that an earlier life of the bottle left.
 * @throws UserError when that one was made for something else.
 */
export async function takeMachine(request: MachineRequest): Promise<Machine> {
  const { smolvm, call, spec, folder, room } = request;
  const { name } = spec;
  const record = recordIn(folder.path);
  const argv = [...createCommand(smolvm.traits, spec)];
  const made = { version: 1, argv, smolvm: smolvm.text } as const;
  const earlier = await readMade(folder.path);
  if (earlier !== undefined && (earlier.smolvm !== smolvm.text || !isEqual(earlier.argv, argv))) {
    throw new UserError(
      `the machine of this bottle was made by smolvm ${earlier.smolvm} for another image, link or amount of resources`,
      { hint: "go back to those, or take the work out: bottle diff, bottle pull" },
    );
  }
  if (earlier === undefined) {
    // One that was cut short while it was made.
    if ((await listMachines(call)).some((machine) => machine.name === name))
      await must("delete a machine that was not finished", smolvm, call(deleteCommand(smolvm.traits, name)));
    await must("make a machine", smolvm, call(argv, { timeoutMs: SLOW_TIMEOUT_MS }));
    await writeFileAtomic(record, JSON.stringify({ ...made, ready: false }));
  }
  const vmm = async (): Promise<number> => {
    const pid = await pidOf(call, name);
    room?.confirm(pid);
    return pid;
  };
  const freezer = createFreezer(vmm);
  const stop = async (): Promise<void> => {
    // One that is stopped where it is can neither write to its disk nor end by itself.
    await freezer.thaw();
    // What is still in the guest's memory is not on its disk, and a stop may ask nobody.
    await call(execCommand(name, ["sync"])).catch(() => {});
    const stopped = await call(stopCommand(name), { timeoutMs: SLOW_TIMEOUT_MS }).catch(
      (error: unknown) => error,
    );
    // A start that failed leaves a process in some releases, which no command of theirs would end (A.8).
    if (room !== undefined) await room.clear();
    else await killMachine({ name, folder });
    const left = (await listMachines(call)).find((machine) => machine.name === name);
    if (left !== undefined && ["running", "unreachable"].includes(left.state))
      throw new Error(`${name} does not stop: ${stopped instanceof Error ? messageOf(stopped) : left.state}`);
  };
  let stopping: Promise<void> | undefined;
  return {
    name,
    firstLife: earlier?.ready !== true,
    async start() {
      const options = { timeoutMs: SLOW_TIMEOUT_MS, ...(room && { before: room.enter }) };
      await must("start the machine", smolvm, call(startCommand(name), options));
      if (room !== undefined) await vmm();
      await untilReady(smolvm, call, name);
    },
    stop() {
      // Its folder goes once this is done: nobody may still be at it then.
      stopping ??= stop().finally(() => {
        stopping = undefined;
      });
      return stopping;
    },
    freezer,
    markReady: () => writeFileAtomic(record, JSON.stringify({ ...made, ready: true })),
  };
}

function recordIn(folder: string): string {
  return join(folder, "machine.json");
}

/** What the machine in smolvm's state `folder` was made by; undefined when there is none. */
export async function readMade(folder: string): Promise<z.infer<typeof madeSchema> | undefined> {
  try {
    return madeSchema.parse(JSON.parse(await readFile(recordIn(folder), "utf8")));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function isEqual(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

/** Machines of bottles, in the state that `call` is about. */
export async function listMachines(call: Call): Promise<readonly MachineState[]> {
  const { code, stdout } = await call(listCommand);
  if (code !== 0) return [];
  const parsed = z.array(machineSchema).safeParse(JSON.parse(stdout.toString("utf8")));
  return parsed.success ? parsed.data.filter(({ name }) => name.startsWith(MACHINE_PREFIX)) : [];
}

async function pidOf(call: Call, name: string): Promise<number> {
  const { stdout } = await call(statusCommand(name));
  const parsed = machineSchema.safeParse(JSON.parse(stdout.toString("utf8") || "null"));
  if (!parsed.success || parsed.data.pid === null || parsed.data.pid === undefined)
    throw new Error(`smolvm does not say which process ${name} is`);
  return parsed.data.pid;
}

/** `start` comes back when smolvm's own agent answers, which is not when programs can be run: some are killed still. */
async function untilReady(smolvm: Smolvm, call: Call, name: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const { code, stderr } = await call(execCommand(name, ["true"]));
    if (code === 0) return;
    if (performance.now() > deadline)
      throw new UserError(
        `smolvm ${smolvm.text} started the machine, and nothing can be run in it: ${printable(stderr.trim()) || `exit ${code}`}`,
        { hint: "bottle doctor" },
      );
    await new Promise((resolve) => setTimeout(resolve, READY_PAUSE_MS));
  }
}
