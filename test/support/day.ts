/**
 * An operator's day, drawn at random: bottles are started, resumed, forked, stopped, removed and cleaned up, and everything
 * that can die does, at any moment. What a command says is held against what it was asked; who is there is asked of `list`.
 */
import type { BackendHost } from "./backend-hosts.ts";
import { killIfThere, type ListedBottle, pause } from "./bottle-cli.ts";
import { type Fault, lasting } from "./faults.ts";
import type { Dice } from "./random.ts";

export interface Day {
  /** What was done, an entry each. */
  readonly done: readonly string[];
  /** What came out as it should not. */
  readonly problems: readonly string[];
  /** On the host, that was not there before. */
  readonly left: readonly string[];
}

/** At once, so that a day of emulated machines is one day. */
const MOST_RUNNING = 3;
const MOST_AT_ONCE = 8;
/** A launch that is to be cut short is, within this. */
const LAUNCH_MS = 3_000;
/** What a keeper takes to end a bottle whose guest is gone, on a busy machine. */
const END_MS = 60_000;
const RESTING: readonly string[] = ["running", "kept", "crashed"];

/** @param before all that there was. */
export async function spendDay(
  host: BackendHost,
  before: readonly string[],
  steps: number,
  dice: Dice,
): Promise<Day> {
  const { cli } = host;
  const done: string[] = [];
  const problems: string[] = [];
  /** Those that may never have become ready: they are refused to who resumes them. */
  const cutShort = new Set<string>();
  const told = async (args: readonly string[], codes: readonly (number | null)[] = [0]): Promise<string> => {
    const { code, stdout, stderr } = await cli.run(args);
    done.push(`${args.slice(0, 3).join(" ")}: exit ${code}`);
    if (!codes.includes(code))
      problems.push(`step ${done.length}: ${args.join(" ")}: exit ${code}: ${stderr.slice(-600)}`);
    return stdout.trim();
  };
  const inState = async (...states: readonly string[]): Promise<readonly ListedBottle[]> =>
    (await cli.list()).filter(({ state }) => states.includes(state));
  /** Until nobody is at work on a bottle, and no more than `most` run. */
  const rest = async (most = Number.POSITIVE_INFINITY): Promise<void> => {
    const deadline = Date.now() + END_MS;
    while (Date.now() < deadline) {
      const states = (await cli.list()).map(({ state }) => state);
      const running = states.filter((state) => state === "running").length;
      if (running <= most && states.every((state) => RESTING.includes(state))) return;
      await pause(100);
    }
    problems.push(`step ${done.length}: no rest: ${JSON.stringify(await cli.list())}`);
  };
  const running = async (): Promise<number> => (await inState("running")).length;
  /** @param ends how many bottles end with it. */
  const killOne = async (who: Fault, ends: 0 | 1): Promise<void> => {
    // Who is killed while its bottle ends by itself would be one too few.
    await rest();
    const most = (await running()) - ends;
    const victims = host.victims(who);
    if (victims.length === 0) return;
    killIfThere(dice.pick(victims));
    done.push(`killed: ${who}`);
    await rest(most);
  };

  const acts: Readonly<Record<string, () => Promise<void>>> = {
    async start() {
      if ((await running()) >= MOST_RUNNING) return acts["stop"]?.();
      await told(["start", "day", "--detach", "--yes", "-p", "echo $$ >>~/lives; sleep 600"]);
    },
    async finish() {
      const code = dice.pick([0, 0, 3]);
      await told(["start", "day", "-p", `exit ${code}`], [code]);
    },
    async stop() {
      const [one] = await drawn(["running"]);
      if (one !== undefined) await told(["stop", one.id]);
    },
    async resume() {
      const [one] = await drawn(["kept", "crashed"]);
      if (one !== undefined && (await running()) < MOST_RUNNING)
        await told(
          ["resume", one.id, "--detach", "--yes", "-p", "sleep 600"],
          cutShort.has(one.id) ? [0, 1] : [0],
        );
    },
    async fork() {
      const [one] = await drawn(["kept"]);
      if (one === undefined || (await running()) >= MOST_RUNNING) return;
      await told(["fork", one.id, "--yes"], host.forks ? [0] : [1]);
    },
    async rm() {
      const [one] = await drawn(["kept", "crashed", "running"]);
      if (one !== undefined) await told(["rm", "--force", one.id]);
    },
    async cleanup() {
      await told(["cleanup", "--yes"]);
    },
    "kill a keeper": async () => killOne("keeper", 1),
    "kill a sidecar": async () => killOne("sidecar", 0),
    "kill a guest": async () => killOne("guest", 1),
    async "kill a launch"() {
      const earlier = cli.kept();
      const command = cli.begin(["start", "day", "--detach", "--yes", "-p", "sleep 600"]);
      await pause(dice.below(LAUNCH_MS));
      const [what, pattern] = dice.pick([
        ["keeper", /bottle\.js keeper$/],
        ["command", /bottle\.js start /],
      ] as const);
      const young = cli.processes().filter((pid) => pattern.test(cli.commandOf(pid)));
      const [pid] = young.slice(-1);
      if (pid !== undefined) killIfThere(pid);
      await command.ended;
      done.push(`killed in a launch: ${what}`);
      await rest();
      for (const id of cli.kept()) if (!earlier.includes(id)) cutShort.add(id);
    },
  };
  const drawn = async (states: readonly string[]): Promise<readonly ListedBottle[]> => {
    const there = await inState(...states);
    return there.length === 0 ? [] : [dice.pick(there)];
  };

  const names = ["start", "start", "start", "resume", "resume", ...Object.keys(acts)];
  while (done.length < steps) await acts[dice.pick(names)]?.();

  await rest();
  // A whole day leaves dozens, and a command has only so much time.
  const ids = (await cli.list()).map(({ id }) => id);
  while (ids.length > 0) await told(["rm", "--force", ...ids.splice(0, MOST_AT_ONCE)]);
  await told(["cleanup", "--yes"]);
  return { done, problems, left: await lasting(host, before) };
}
