/**
 * What stands for credentials in the guest is looked for like a known value: no secret, but whoever sends it takes a
 * host for one that gets the credential, and is told so (I10) instead of failing there for no visible reason. The
 * credential's own hosts may read of it in bodies: a conversation in which the agent looked at its environment goes on.
 */
import type { EgressPolicy } from "../../../contract/sidecar.ts";
import { UserError } from "../../../lib/errors.ts";

/** Shorter ones would be met by accident. */
const MIN_LENGTH = 12;
/** No variable's name has a blank in it. */
const NAME = "placeholder ";

export const isPlaceholder = (known: string): boolean => known.startsWith(NAME);

/** @throws UserError for one that is too short to be told from ordinary text. */
export function placeholderValues(placeholders: EgressPolicy["placeholders"] = []): EgressPolicy["known"] {
  return placeholders.map(({ value, to }, i) => {
    if (value.length < MIN_LENGTH)
      throw new UserError(`placeholders: each needs at least ${MIN_LENGTH} characters`);
    return { name: `${NAME}${i + 1}`, kind: "known", value, to };
  });
}
