/**
 * The one error a person is meant to read: what failed, on what, and what to do next.
 * Anything else that is thrown is a bug or the operating system, and is shown with its stack.
 */
export class UserError extends Error {
  override readonly name = "UserError";
  /** The next step, as one line or a command to run. */
  readonly hint: string | undefined;
  /** Process exit code; 1 unless a caller's contract needs another. */
  readonly exitCode: number;

  constructor(message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The operating system's code of an error (`ENOENT`), or undefined. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Of a disk, a quota, or a disk that lets nobody write: what may be otherwise in a moment, and nothing is broken by it. */
const LACKS_OF_ROOM: readonly (string | undefined)[] = ["ENOSPC", "EDQUOT", "EROFS"];

/** Whether something could not be written because there is no room for it, for now. */
export function isLackOfRoom(error: unknown): boolean {
  return LACKS_OF_ROOM.includes(codeOf(error));
}

/** For the default branch of a switch over a closed union: adding a member becomes a compile error. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
