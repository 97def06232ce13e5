/** A terminal that a test sits in front of: what it shows, and keys. */
import { spawn } from "@lydell/node-pty";

/** Nothing that a test waits for on a screen takes longer. */
const SHOWN_WITHIN_MS = 60_000;

export interface Terminal {
  /** Waits until what was shown since the last {@link forget} contains `text`, blanks aside. */
  shows(text: string): Promise<void>;
  /** Everything shown since the last {@link forget}, without control sequences and blanks. */
  shown(): string;
  /** The same, byte for byte. */
  raw(): string;
  forget(): void;
  type(text: string): void;
  resize(cols: number, rows: number): void;
  /** Resolves with the program's exit code. */
  readonly exit: Promise<number>;
  close(): Promise<void>;
}

export function openTerminal(
  [file = "", ...args]: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Terminal {
  const pty = spawn(file, args, {
    cols: 120,
    rows: 40,
    cwd: options.cwd,
    env: { TERM: "xterm-256color", ...options.env },
  });
  let text = "";
  let ended: number | undefined;
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of [...listeners]) listener();
  };
  pty.onData((data) => {
    text += data;
    notify();
  });
  const exit = new Promise<number>((resolve) => {
    pty.onExit(({ exitCode }) => {
      ended = exitCode;
      notify();
      resolve(exitCode);
    });
  });
  return {
    exit,
    raw: () => text,
    shown: () => withoutControls(text),
    forget() {
      text = "";
    },
    type: (keys) => pty.write(keys),
    resize: (cols, rows) => pty.resize(cols, rows),
    shows(expected) {
      const wanted = expected.replace(/\s/g, "");
      return new Promise((resolve, reject) => {
        const settle = (done: () => void): void => {
          clearTimeout(timer);
          listeners.delete(check);
          done();
        };
        const fail = (why: string): void =>
          settle(() => reject(new Error(`${why} "${expected}": ${withoutControls(text)}`)));
        const timer = setTimeout(() => fail("the terminal does not show"), SHOWN_WITHIN_MS);
        const check = (): void => {
          if (withoutControls(text).includes(wanted)) settle(resolve);
          else if (ended !== undefined) fail(`the program ended with ${ended} without showing`);
        };
        listeners.add(check);
        check();
      });
    },
    async close() {
      if (ended === undefined) pty.kill("SIGKILL");
      await exit;
    },
  };
}

/** Programs move the cursor where others print a blank, so blanks say nothing. */
function withoutControls(text: string): string {
  return text
    .replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "")
    .replace(/\x1b[P_^][^\x1b]*\x1b\\/g, "")
    .replace(/\x1b\[[0-9;:?<>=!]*[ -/]*[@-~]/g, "")
    .replace(/\x1b[ -/]*[0-~]/g, "")
    .replace(/[\s\x00-\x1f]/g, "");
}
