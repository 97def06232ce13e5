/**
 * Who the operator commits as, for an agent whose manifest names nobody. Asked of git in the folder that goes in as
 * the workspace, so that it is the identity of that folder, and asked nowhere else: without a workspace of the
 * operator's there is nothing of theirs to sign, and no reason to tell the agent who they are.
 */
import { UserError } from "../lib/errors.ts";
import { git } from "./workspace/host-git.ts";

export interface GitIdentity {
  readonly name: string;
  readonly email: string;
}

/** More than any name or address in use; it is shown in the preflight, and is in every commit. */
const MAX_LENGTH = 200;

/** Undefined when git has not both, or has what is fit for no commit. */
export async function operatorIdentity(folder: string): Promise<GitIdentity | undefined> {
  const args = ["config", "-z", "--get-regexp", "^user\\.(name|email)$"];
  let output: Buffer;
  try {
    output = (await git({ kind: "operators", folder }, args)).stdout;
  } catch (error) {
    // No git, no folder: whoever needs them says so.
    if (error instanceof UserError) return undefined;
    throw error;
  }
  // Of a key that is set in several files git takes the last.
  const values = new Map<string, string>();
  for (const entry of output.toString("utf8").split("\0")) {
    const [key = "", ...lines] = entry.split("\n");
    values.set(key, lines.join("\n"));
  }
  const [name, email] = [values.get("user.name"), values.get("user.email")];
  return isFit(name) && isFit(email) ? { name, email } : undefined;
}

/** In a commit it stands as `name <email>` on one line. */
function isFit(text: string | undefined): text is string {
  return text !== undefined && /^[^\p{Cc}\p{Cf}<>\ufffd]+$/u.test(text) && text.length <= MAX_LENGTH;
}
