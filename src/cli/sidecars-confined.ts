/** For the preflight: whether a bottle's sidecars will be confined where they run. */
import { backendNamed, placementOf } from "../backends/registry.ts";
import { canConfine } from "../bundle/host-place.ts";
import type { BottlePlan } from "../contract/plan.ts";

/** @throws UserError when the backend cannot have them where the bottle wants them. */
export async function sidecarsConfined(plan: BottlePlan): Promise<boolean> {
  const placement = await placementOf(await backendNamed(plan.backend), plan.bundle);
  return placement === "container" || (await canConfine());
}
