/** `bottle inbox --watch --json`: a line for each change, for programs. */
import { printJsonLine } from "../output.ts";
import { followInboxes } from "./follow.ts";

/** Ends with SIGINT, SIGTERM, or when nobody reads any more. @returns the exit code. */
export async function watchLines(): Promise<number> {
  const following = followInboxes({
    onView: (view) => printJsonLine(view),
    onGone: (bottle) => printJsonLine({ bottle, ended: true }),
  });
  try {
    return await new Promise<number>((resolve) => {
      process.once("SIGINT", () => resolve(130));
      process.once("SIGTERM", () => resolve(143));
      process.stdout.once("error", () => resolve(0));
    });
  } finally {
    following.close();
  }
}
