/** The agent's `~/.gitconfig`: who it commits as, and what lets git work in a workspace that was copied in. */
import { GUEST } from "../contract/backend.ts";
import type { BottlePlan, PlannedFile } from "../contract/plan.ts";
import { renderGitConfig } from "./git-config.ts";

/** For what nobody said: without a name and an address git refuses to commit. `invalid` is nobody's (RFC 2606). */
const NOBODY = { name: "bottle agent", email: "agent@bottle.invalid" } as const;

/**
 * @param included guest paths of further settings.
 * @throws UserError when name or address hold a control character.
 */
export function gitIdentityFile(git: BottlePlan["git"], included: readonly string[] = []): PlannedFile {
  const { name, email } = { ...NOBODY, ...git };
  return {
    path: `${GUEST.home}/.gitconfig`,
    content: renderGitConfig([
      {
        name: "user",
        values: [
          ["name", name],
          ["email", email],
        ],
      },
      { name: "init", values: [["defaultBranch", "main"]] },
      // Some backends show the folder as another user's.
      { name: "safe", values: [["directory", GUEST.workspace]] },
      // There is nobody to ask, and no key to sign with.
      { name: "commit", values: [["gpgSign", "false"]] },
      { name: "include", values: included.map((path) => ["path", path] as const) },
    ]),
    mode: 0o644,
  };
}
