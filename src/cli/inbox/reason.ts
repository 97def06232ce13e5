/** Why the operator answers as they do; the agent is told, and the log keeps it. */
import { ASK_LIMITS } from "../../contract/approvals.ts";
import { UserError } from "../../lib/errors.ts";

/** What goes into a message: nothing for no reason. @throws UserError for one that the log would have to cut. */
export function reasonPart(reason: string | undefined): { readonly reason?: string } {
  if (reason === undefined || reason.trim() === "") return {};
  if (reason.length <= ASK_LIMITS.justification) return { reason };
  throw new UserError(`a reason has at most ${ASK_LIMITS.justification} characters`, { exitCode: 2 });
}

/** A denial says why, or that nothing was said. */
export const NO_REASON = "the operator gave no reason";
