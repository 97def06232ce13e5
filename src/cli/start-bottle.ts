/** What `bottle start` does: plan, preflight, question, launch, attach. */
import { connectKeeper } from "../keeper/control-client.ts";
import { UserError } from "../lib/errors.ts";
import { homeOf } from "../lib/paths.ts";
import { loadIndex } from "../manifest/index-scan.ts";
import { approveRepositoryAgent } from "./agent-approval.ts";
import { askLine, confirm, hasTerminal } from "./ask.ts";
import { followAgent, terminalSize } from "./attach.ts";
import { DETACH_KEY_NAME } from "./detach-key.ts";
import { takeHostStep } from "./host-step.ts";
import type { KeeperChild } from "./keeper-child.ts";
import { type Launched, launchKeeper } from "./keeper-process.ts";
import { refuseMissing, refuseUnusableKeys, resolveValues, runsHeadless } from "./launch-order.ts";
import { print, printJson, tell } from "./output.ts";
import { planAgent, tellPreflight } from "./prepare-plan.ts";

export interface StartFlags {
  readonly yes?: true;
  readonly dryRun?: true;
  readonly json?: true;
  readonly backend?: string;
  readonly image?: string;
  readonly detach?: true;
  readonly label?: string;
  readonly cwd?: string | true;
  readonly prompt?: string;
}

/** @param keeper absent for a dry run, which starts nothing. */
export async function startBottle(
  agent: string | undefined,
  flags: StartFlags,
  keeper: KeeperChild | undefined,
): Promise<number> {
  if (flags.json && !flags.dryRun && !flags.detach) {
    throw new UserError("--json prints the plan or the id, and goes with --dry-run or --detach");
  }
  const { plan, view, loaded } = await planAgent(agent ?? (await chooseAgent()), flags);
  if (keeper === undefined) {
    if (flags.json) printJson(view);
    else tellPreflight(view);
    return 0;
  }
  const headless = runsHeadless(plan, flags.detach === true);
  tellPreflight(view);
  refuseMissing(plan);
  await refuseUnusableKeys(plan);
  await approveRepositoryAgent(loaded);
  // --prompt says what is to be done now; whoever wrote it has decided.
  if (!flags.yes && flags.prompt === undefined) {
    if (!(await confirm("launch?", "add --yes to launch without being asked"))) {
      tell("not launched");
      return 0;
    }
  }
  await takeHostStep(plan);
  const values = await resolveValues(plan);
  const launched = await launchKeeper(keeper, {
    plan,
    ...values,
    resume: undefined,
    detach: flags.detach === true,
    tty: headless ? undefined : terminalSize(),
  });
  return joinLaunched(launched, { detach: flags.detach === true, json: flags.json === true, tty: !headless });
}

/** What follows every launch: print the id, or join the agent. */
export async function joinLaunched(
  launched: Launched,
  options: { readonly detach: boolean; readonly json: boolean; readonly tty: boolean },
): Promise<number> {
  const { id, fingerprint } = launched;
  if (options.detach) {
    launched.release();
    if (options.json) printJson({ id, fingerprint });
    else print(id);
    return 0;
  }
  tell(options.tty ? `bottle ${id}    ${DETACH_KEY_NAME} leaves it running` : `bottle ${id}`);
  try {
    return await followAgent(await connectKeeper(id), { start: true, tty: options.tty });
  } catch (error) {
    await launched.abandon();
    throw error;
  } finally {
    launched.release();
  }
}

async function chooseAgent(): Promise<string> {
  const { agents } = loadIndex({ home: homeOf(), cwd: process.cwd() });
  const names = agents.map(({ name }) => name);
  const hint = `bottle start <agent>; there are: ${names.join(", ")}`;
  if (!hasTerminal()) throw new UserError("which agent?", { hint });
  names.forEach((name, i) => void tell(`${String(i + 1).padStart(3)}  ${name}`));
  const answer = (await askLine("agent? ", hint)).trim();
  return names[Number(answer) - 1] ?? answer;
}
