/** The operator's own texts that a plan names, as files of the guest. */
import type { PlannedFile, PlannedText } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";
import { secretIn } from "../manifest/secret-text.ts";
import { readTextFile } from "../manifest/text-file.ts";

/** @throws UserError when one is gone, too large, no text, or by now looks like it holds a secret. */
export function userTextFiles(texts: readonly PlannedText[]): readonly PlannedFile[] {
  return texts.map(({ name, from, to }) => {
    const refuse = (what: string): UserError =>
      new UserError(`${name} cannot come along: ${from} ${what}`, {
        hint: "change that file, or take it out of user_config in the agent's file",
      });
    const read = readTextFile(from);
    if (!read.ok) throw refuse(read.message);
    // Read anew: it may have changed since the operator was shown the plan.
    const secret = secretIn(read.text);
    if (secret !== undefined) throw refuse(`looks like it holds a secret (${secret})`);
    return { path: to, content: read.text, mode: 0o600 };
  });
}
