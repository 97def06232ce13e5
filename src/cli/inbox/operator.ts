/** Who answers, for the log: the name of the user who runs the command. */
import { userInfo } from "node:os";
import { ownUid } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";

/** In containers users often have a number and no name, for which node throws. */
export function operatorName(): string {
  try {
    return printable(userInfo().username, 100) || `uid ${ownUid()}`;
  } catch {
    return `uid ${ownUid()}`;
  }
}
