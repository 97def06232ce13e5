/** For work in a loop whose length a stranger decides: the rest of this process has its turn in between. */
import { setImmediate as turn } from "node:timers/promises";

/** Some milliseconds' worth, where each is a call or two to a file system. */
const AT_ONCE = 64;

/** What it returns is awaited once for each piece. */
export function breather(): () => Promise<void> | undefined {
  let done = 0;
  return () => {
    done += 1;
    return done % AT_ONCE === 0 ? turn() : undefined;
  };
}
