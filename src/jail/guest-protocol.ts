/**
 * What the keeper and a guest's init say to each other, over a Unix socket that the init was born with, or
 * streams that its stdin and stdout carry (it accepts, the keeper opens: the guest can name no path and open no
 * channel of its own). One stream a purpose; its first line says which:
 *
 *   watch   whether the init lives: answered with {connected}, and then open for as long as it does
 *   exec    control of one process: first answer {pid} or {error}, last {exit}; in between the keeper
 *           sends {kill} and {resize}
 *   stream  one of that process's streams, joined by token; raw bytes after the header. With a terminal
 *           there is one, number 0, both ways
 *   seat    from inside: whoever sits at a terminal that was made for an exec, by its token. It is told the
 *           exec's header, and says what the exec's control says
 *   dial    a connection to the guest's loopback: first answer {connected} or {error}, then raw bytes
 *   probe   what can be reached from inside: one answer
 *   flush   where the guest has a disk of its own: answered with {connected} once everything is on it
 *
 * What the guest hears is its maker's word, and taken as it is. What comes back is a hostile guest's: bounded, and
 * parsed by guest-answers.ts.
 */
import type { ProbeResult, ProbeTarget, TerminalSize } from "../contract/backend.ts";

/** Longest line either side accepts: argv and environment of one exec. */
export const MAX_HEADER_BYTES = 2 * 1024 * 1024;

export interface ExecHeader {
  readonly kind: "exec";
  readonly token: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly tty?: TerminalSize;
  /** Where the init is root and the agent is not. */
  readonly user?: "agent" | "root";
  /** Processes and threads that the user may have at once. Likewise. */
  readonly processes?: number;
  /** The terminal is another's, and who sits at it starts the program. */
  readonly seated?: boolean;
}

export interface ProbeHeader {
  readonly kind: "probe";
  readonly timeoutMs: number;
  readonly targets: readonly ProbeTarget[];
}

export type Header =
  | ExecHeader
  | ProbeHeader
  | { readonly kind: "watch" | "flush" }
  | { readonly kind: "stream"; readonly token: string; readonly number: number }
  | { readonly kind: "seat"; readonly token: string }
  | { readonly kind: "dial"; readonly port: number };

export type Command = { readonly kill: string } | { readonly resize: TerminalSize };

export type Answer =
  | { readonly pid: number }
  | { readonly exit: { readonly code: number | null; readonly signal: string | null } }
  | { readonly connected: true }
  | { readonly error: string }
  | { readonly results: readonly ProbeResult[] };

/** What a seat writes on its terminal before anything else, so that whoever made that knows it to have begun. */
export function seatMark(token: string): string {
  return `\u001e${token}\u001e`;
}
