/** `bottle start`. Its keeper comes first, so that both load at once. */
import { spawnKeeper } from "../keeper-child.ts";
import type { StartFlags } from "../start-bottle.ts";

export async function start(agent: string | undefined, flags: StartFlags): Promise<number> {
  const keeper = flags.dryRun ? undefined : spawnKeeper();
  try {
    const { startBottle } = await import("../start-bottle.ts");
    return await startBottle(agent, flags, keeper);
  } finally {
    await keeper?.dismiss();
  }
}
