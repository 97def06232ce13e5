/** `bottle fork`: copies of a bottle as it is at one moment, each provisioned anew before its agent runs. */
import { forkBottle } from "../../keeper/disk-work.ts";
import { removeBottle } from "../../keeper/leftovers.ts";
import { UserError } from "../../lib/errors.ts";
import { resume } from "./resume.ts";

/** Each is a machine of its own on this host. */
const MAX_COPIES = 32;

export async function fork(
  id: string,
  count: string | undefined,
  flags: { readonly yes?: true; readonly prompt?: string },
): Promise<number> {
  const copies = Number(count ?? "1");
  if (!Number.isInteger(copies) || copies < 1 || copies > MAX_COPIES) {
    throw new UserError(`bottle fork makes from 1 to ${MAX_COPIES} copies`, { hint: `bottle fork ${id} 2` });
  }
  const waiting = [...(await forkBottle(id, copies))];
  try {
    for (const copy of [...waiting]) {
      const code = await resume(copy, { ...flags, detach: true });
      if (code !== 0) return code;
      waiting.shift();
    }
    return 0;
  } finally {
    // Nothing ran in these: there is nothing to keep.
    for (const copy of waiting) await removeBottle(copy, true);
  }
}
