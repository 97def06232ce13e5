/** `bottle info`: the preflight of an agent, without the launch. */
import { printJson, tell } from "../output.ts";
import { planAgent, tellPreflight } from "../prepare-plan.ts";

export async function info(agent: string, flags: { readonly json?: true }): Promise<number> {
  const { view, loaded } = await planAgent(agent, {});
  if (flags.json) printJson({ ...view, description: loaded.description ?? null });
  else {
    if (loaded.description !== undefined) tell(loaded.description);
    tellPreflight(view);
  }
  return 0;
}
