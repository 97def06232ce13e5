/**
 * `bottle resume`: a kept bottle again, with what it had and what is added now, and with secrets read anew.
 */

import { backendNamed } from "../../backends/registry.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import { bottlePaths, readRecord } from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import { UserError } from "../../lib/errors.ts";
import { mcpConfigOf } from "../../plan/mcp-config.ts";
import { describePlan, type PreflightView } from "../../plan/preflight.ts";
import { preflightChanges } from "../../plan/preflight-changes.ts";
import { providerNamed } from "../../providers/registry.ts";
import { confirm } from "../ask.ts";
import { tellWaits, terminalSize } from "../attach.ts";
import { takeHostStep } from "../host-step.ts";
import { spawnKeeper } from "../keeper-child.ts";
import { launchKeeper } from "../keeper-process.ts";
import {
  inEnvironment,
  refuseMissing,
  refuseUnusableKeys,
  resolveValues,
  runsHeadless,
} from "../launch-order.ts";
import { tell } from "../output.ts";
import { tellPreflight } from "../prepare-plan.ts";
import { planWith } from "../resume-with.ts";
import { sidecarsConfined } from "../sidecars-confined.ts";
import { joinLaunched } from "../start-bottle.ts";

export interface ResumeFlags {
  readonly yes?: true;
  readonly detach?: true;
  readonly prompt?: string;
  /** What the bottle gets besides: see resume-with.ts. */
  readonly with?: readonly string[];
}

export async function resume(id: string, flags: ResumeFlags): Promise<number> {
  const paths = bottlePaths(id);
  const wanted = flags.with ?? [];
  if ((await tryConnectKeeper(paths, id)) !== undefined) {
    const hint = wanted.length === 0 ? `bottle attach ${id}` : `bottle stop ${id}, then run this again`;
    throw new UserError(`bottle ${id} is running`, { hint });
  }
  const { plan: earlier, waits, work } = await readRecord(paths);
  if (wanted.length === 0) tellWaits(waits);
  const { plan: planned, approve } = await planWith(earlier, wanted);
  const plan = withTask(planned, flags.prompt);
  const headless = runsHeadless(plan, flags.detach === true);
  const availability = await (await backendNamed(plan.backend)).probe();
  if (!availability.usable) {
    const why = availability.lacks.map(({ what }) => what).join("; ");
    // What was taken out at its end needs no guest to be shown or fetched.
    const otherwise = work === "exported" ? `; bottle pull ${id} takes its work out as it was left` : "";
    throw new UserError(`bottle ${id} ran on ${plan.backend}, which this host cannot run now: ${why}`, {
      hint: `bottle doctor tells what it needs${otherwise}`,
    });
  }
  const confined = await sidecarsConfined(plan);
  const describe = (each: BottlePlan): PreflightView =>
    describePlan(each, { availability, availableEnv: inEnvironment, confined });
  const view = describe(plan);
  tellPreflight(view);
  if (wanted.length > 0) {
    const changes = preflightChanges(describe(withTask(earlier, flags.prompt)), view);
    tell(
      changes.length === 0 ? "nothing differs from its earlier life" : "what differs from its earlier life:",
    );
    for (const change of changes) tell(`  ${change}`);
  }
  // I7: this host may give less by now than when the bottle was started.
  if (!view.backend.meetsMinimum) {
    throw new UserError(
      `bottle ${id} asks for isolation ${plan.isolation}, and ${plan.backend} now gives ${availability.isolation}`,
      { hint: "bottle doctor" },
    );
  }
  refuseMissing(plan);
  await refuseUnusableKeys(plan);
  await approve();
  if (
    !flags.yes &&
    flags.prompt === undefined &&
    !(await confirm(`resume ${id}?`, "add --yes to resume without being asked"))
  ) {
    tell("not resumed");
    return 0;
  }
  await takeHostStep(plan);
  const values = await resolveValues(plan);
  const launched = await launchKeeper(spawnKeeper(), {
    plan,
    ...values,
    resume: id,
    with: wanted,
    detach: flags.detach === true,
    tty: headless ? undefined : terminalSize(),
  });
  return joinLaunched(launched, { detach: flags.detach === true, json: false, tty: !headless });
}

/** The same bottle with another task, or none: its provider says how that is started. */
function withTask({ task: earlier, ...plan }: BottlePlan, task: string | undefined): BottlePlan {
  const { name, argv } = plan.provider;
  // An argv of the operator's own ends in the task it was given.
  const command = name === "command" ? argv.slice(0, earlier === undefined ? undefined : -1) : undefined;
  const setup = providerNamed(name).setup({
    ...{ prompt: plan.agent.prompt, task, command },
    mcpConfig: mcpConfigOf(plan),
  });
  return {
    ...plan,
    ...(task !== undefined && { task }),
    provider: {
      ...plan.provider,
      argv: setup.argv,
      ...(setup.resumeArgv !== undefined && { resumeArgv: setup.resumeArgv }),
    },
  };
}
