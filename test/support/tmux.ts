/** A program in a real tmux, on a server of its own. */
import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { eventually } from "./bottle-cli.ts";

const run = promisify(execFile);

export interface Tmux {
  /** What is on the screen, a line each, without blanks at their ends. */
  screen(): Promise<readonly string[]>;
  /** Waits until the screen has it; returns the screen. */
  shows(what: string | RegExp): Promise<string>;
  /** As a keyboard would, all at once: `j`, `Enter`, `C-c`. */
  keys(...keys: readonly string[]): Promise<void>;
  /** Text, as typed. */
  type(text: string): Promise<void>;
  /** From the clipboard, as a terminal that knows bracketed paste sends it. */
  paste(text: string): Promise<void>;
  resize(columns: number, rows: number): Promise<void>;
  /** A format of tmux's about the pane: `alternate_on`, `pane_pid`. */
  about(format: string): Promise<string>;
  end(): Promise<void>;
}

export async function openTmux(
  command: string,
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly cwd: string;
    readonly size?: readonly [number, number];
  },
): Promise<Tmux> {
  const folder = mkdtempSync("/tmp/bbt-");
  const [columns, rows] = options.size ?? [80, 24];
  const tmux = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run("tmux", ["-S", join(folder, "s"), "-f", "/dev/null", ...args], {
      env: { ...options.env, TERM: "xterm-256color" },
      cwd: options.cwd,
      maxBuffer: 16 * 2 ** 20,
    });
    return stdout;
  };
  await tmux("new-session", "-d", "-s", "t", "-x", String(columns), "-y", String(rows), "sh");
  await tmux("set-option", "-g", "status", "off");
  const screen = async (): Promise<readonly string[]> =>
    (await tmux("capture-pane", "-p", "-t", "t"))
      .split("\n")
      .slice(0, -1)
      .map((line) => line.trimEnd());
  await tmux("send-keys", "-t", "t", "-l", `${command}\n`);
  return {
    screen,
    async shows(what) {
      let text = "";
      const look = async (): Promise<string | undefined> => {
        text = (await screen()).join("\n");
        return (typeof what === "string" ? text.includes(what) : what.test(text)) ? text : undefined;
      };
      return eventually(`${what} on the screen`, look).catch((error: unknown) => {
        throw new Error(`${String(error)}:\n${text}`);
      });
    },
    keys: async (...keys) => void (await tmux("send-keys", "-t", "t", ...keys)),
    type: async (text) => void (await tmux("send-keys", "-t", "t", "-l", text)),
    async paste(text) {
      await tmux("set-buffer", text);
      await tmux("paste-buffer", "-p", "-t", "t");
    },
    resize: async (x, y) => void (await tmux("resize-window", "-t", "t", "-x", String(x), "-y", String(y))),
    about: async (format) => (await tmux("display-message", "-p", "-t", "t", `#{${format}}`)).trim(),
    async end() {
      await tmux("kill-server").catch(() => {});
      await removeTree(folder);
    },
  };
}
