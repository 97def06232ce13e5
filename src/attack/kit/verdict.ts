/** How a probe in Node says what came of it: one line, and its program ends. */

const MAX_WORDS = 200;

/** The world's variables. Reading one that is not there ends the program: a probe with a hole in it proves nothing. */
export const env: Readonly<Record<string, string>> = new Proxy(
  {},
  { get: (_, name) => process.env[String(name)] ?? cannot(`there is no ${String(name)}`) },
);

interface More {
  readonly words?: string;
  readonly ms?: number;
  readonly explained?: boolean;
}

function say(seen: string, code: string, { words = "", ms, explained }: More): never {
  const line = JSON.stringify({ seen, code, words: words.slice(0, MAX_WORDS), ms, explained });
  // Node writes to a pipe before it goes on.
  process.stdout.write(`\n@@${line}\n`);
  process.exit(0);
}

/** The attack succeeded. */
export function got(words: string): never {
  return say("got", "", { words });
}

export function refused(code: string, more: More = {}): never {
  return say("refused", code, more);
}

/** The program itself cannot be run here. */
export function cannot(words: string): never {
  return say("not-run", "", { words });
}

/** A file's, a folder's or a system call's error, told as what it is. */
export function attempt(what: () => string): never {
  const from = performance.now();
  try {
    return got(what());
  } catch (error) {
    const { code = "error", message } = error as NodeJS.ErrnoException;
    return refused(code, { words: message, ms: performance.now() - from });
  }
}

/** A folder for what a program has to write: outside it is the run's own. */
export const scratch: string = process.env["TRIES"] ?? "/tmp";
