/** Ctrl-C for a command that has much to take down before it may end: whoever runs it learns that it was asked to. */
import { constants } from "node:os";
import { UserError } from "../lib/errors.ts";

/** Aborted by the first SIGINT or SIGTERM from now on; its reason is a UserError with a shell's exit code for that. */
export function interruption(): AbortSignal {
  const given = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const exitCode = 128 + constants.signals[signal];
    process.on(signal, () => given.abort(new UserError("interrupted", { exitCode })));
  }
  return given.signal;
}
