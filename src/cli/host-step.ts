/** What a host needs of its root before a bottle starts: its operator is asked for it, while there is a terminal to ask on. */
import { spawn } from "node:child_process";
import { backendNamed } from "../backends/registry.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { exited } from "../lib/processes.ts";
import { hasTerminal } from "./ask.ts";
import { tell } from "./output.ts";

/** One that is denied is no error here: who launches the bottle says what is missing. */
export async function takeHostStep(plan: BottlePlan): Promise<void> {
  const step = hasTerminal() ? await (await backendNamed(plan.backend)).hostStep?.(plan) : undefined;
  if (step === undefined) return;
  const [command, ...args] = step.argv;
  tell(`${step.why}: ${command} asks for your password`);
  // Its output is the bottle's.
  await exited(spawn(command, args, { stdio: ["inherit", process.stderr, "inherit"] }));
}
