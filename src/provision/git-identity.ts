/** The agent's `~/.gitconfig`: who it commits as, and what lets git work in a workspace that was copied in. */
import { GUEST } from "../contract/backend.ts";
import type { BottlePlan, PlannedFile } from "../contract/plan.ts";
import { renderGitConfig } from "./git-config.ts";

/** @throws UserError when name or address hold a control character. */
export function gitIdentityFile(git: BottlePlan["git"]): PlannedFile {
  const user: [string, string][] = [];
  if (git.name !== undefined) user.push(["name", git.name]);
  if (git.email !== undefined) user.push(["email", git.email]);
  return {
    path: `${GUEST.home}/.gitconfig`,
    content: renderGitConfig([
      { name: "user", values: user },
      { name: "init", values: [["defaultBranch", "main"]] },
      // Some backends show the folder as another user's.
      { name: "safe", values: [["directory", GUEST.workspace]] },
      // There is nobody to ask, and no key to sign with.
      { name: "commit", values: [["gpgSign", "false"]] },
    ]),
    mode: 0o644,
  };
}
