/**
 * Whose the home is. Who can write to it says what agents may do, and can put words into a kept bottle's record: so
 * nobody but the operator (or root, who could do anything anyway) may be able to.
 */
import { type Stats, statSync } from "node:fs";
import { codeOf, UserError } from "../lib/errors.ts";
import { homeOf, ownUid } from "../lib/paths.ts";
import { ownershipFault } from "../manifest/trust.ts";

/** What is wrong with the home, and what to run; undefined when nothing is, or there is none yet. */
export function homeFault(): string | undefined {
  const { root, bottles, agents, state, audit } = homeOf();
  for (const folder of [root, bottles, agents, state, audit]) {
    const stat = statOf(folder);
    const fault = stat && ownershipFault(stat, folder, ownUid());
    if (fault !== undefined) return `${folder} ${fault}`;
  }
  return undefined;
}

/** @throws UserError when others could write there. */
export function refuseSharedHome(): void {
  const fault = homeFault();
  if (fault !== undefined)
    throw new UserError(fault, { hint: "or set BOT_BOTTLE_HOME to a folder of yours" });
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}
