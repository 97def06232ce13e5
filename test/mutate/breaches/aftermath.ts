/** Of what is left: with a bottle that is not taken down, everything is. */
import { type Breach, breach } from "./breach.ts";

/** @param what is there to be left, where the other breaches of the run leave it a place. */
export function removesNothing(what: readonly string[]): Breach {
  return breach(
    "bottle rm removes nothing",
    "src/cli/commands/rm.ts",
    "await removeOne(id, flags.force === true);",
    "if (flags.force !== true) await removeOne(id, false);",
    what.map((each) => `left-${each}`),
  );
}
