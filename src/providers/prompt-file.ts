/** How every provider passes on what the operator wrote: standing instructions as a file, a task as an argument. */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";

/** Where the agent's standing instructions are in the guest, when there are any. */
export const PROMPT_PATH = `${GUEST.home}/.bot-bottle/prompt.md`;

/** Linux takes no argument longer than this (MAX_ARG_STRLEN, less its NUL). */
const MAX_TASK_BYTES = 128 * 1024 - 1;

/** No file for an empty prompt. */
export function promptFiles(prompt: string): readonly PlannedFile[] {
  return prompt.trim() === "" ? [] : [{ path: PROMPT_PATH, content: prompt, mode: 0o600 }];
}

/** @throws UserError when `task` cannot be one argument. */
export function taskArgument(task: string): string {
  const bytes = Buffer.byteLength(task);
  if (bytes > MAX_TASK_BYTES) {
    throw new UserError(
      `the task is ${bytes} bytes long; ${MAX_TASK_BYTES} is the most one argument can hold`,
      {
        hint: "put it into a file of the workspace and name that file in --prompt",
      },
    );
  }
  if (task.includes("\0")) throw new UserError("the task holds a NUL character", { hint: "remove it" });
  return task;
}
