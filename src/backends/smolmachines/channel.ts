/**
 * The way into a guest: one long `machine exec`, whose stdin and stdout carry every connection that is needed. So
 * programs begin and end exactly, whatever smolvm makes of exit codes and signals, and nothing of them (arguments,
 * environments) is in anybody's arguments on this host (I2). What comes out of it is a hostile guest's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { EVERY_BYTE, type Greeting, readExactly, readGreetingLine } from "../../jail/channel-greeting.ts";
import { createGuestClient, type GuestClient, type GuestClientOptions } from "../../jail/guest-client.ts";
import { coverInherited } from "../../jail/inherited-fds.ts";
import { messageOf } from "../../lib/errors.ts";
import { createMux } from "../../lib/mux.ts";
import { printable } from "../../lib/printable.ts";
import { exited } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";

/** The guest loads a program of ours, on a machine that has just begun. */
const GREETING_TIMEOUT_MS = 20_000;
const STDERR_TAIL_CHARACTERS = 1_000;
const SHOWN_CHARACTERS = 300;

export interface Channel {
  readonly client: GuestClient;
  /** Resolves with a short reason when the guest cannot be reached any more. */
  readonly ended: Promise<string>;
}

export interface ChannelRequest {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  /** Given the guest path at which a seat finds the server. */
  readonly client?: (socket: string) => GuestClientOptions;
}

/** @throws Error when the guest's end does not answer, or smolvm does not carry every byte. */
export async function openChannel(request: ChannelRequest, scope: Scope): Promise<Channel> {
  const [command, ...args] = request.argv;
  // Detached: a Ctrl-C on the operator's terminal is for the keeper to judge.
  const child = coverInherited(
    ["pipe", "pipe", "pipe"] as const,
    (stdio): ChildProcess =>
      spawn(command, args, { cwd: "/", env: { ...request.env }, stdio, detached: true }),
  );
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const failed = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => {
      resolve(
        `it ended with ${signal ?? `exit ${code}`}${tail === "" ? "" : `: ${printable(tail.trim(), SHOWN_CHARACTERS)}`}`,
      );
    });
  });
  const close = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited(child);
  };
  const within = async <T>(step: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer within ${GREETING_TIMEOUT_MS} ms`)),
        GREETING_TIMEOUT_MS,
      );
    });
    step.catch(() => {});
    try {
      return await Promise.race([step, late, failed.then((reason) => Promise.reject(new Error(reason)))]);
    } finally {
      clearTimeout(timer);
    }
  };
  let greeting: Greeting;
  try {
    stdin.write(EVERY_BYTE);
    const came = await within(readExactly(stdout, EVERY_BYTE.length));
    greeting = JSON.parse(await within(readGreetingLine(stdout))) as Greeting;
    if (!came.equals(EVERY_BYTE) || greeting.whole !== true || !isSocketPath(greeting.socket))
      throw new Error("not every byte comes through as it was sent");
  } catch (error) {
    await close();
    throw new Error(`the guest cannot be talked to: ${messageOf(error)}`);
  }
  scope.defer("the guest's channel", close);

  const mux = createMux(stdout, stdin);
  // The greeting's reader left it paused.
  stdout.resume();
  return {
    client: createGuestClient((options) => mux.open(options), request.client?.(greeting.socket)),
    ended: Promise.race([failed, mux.ended.then(() => "its channel was closed")]),
  };
}

/** It becomes an argument. */
function isSocketPath(path: unknown): path is string {
  return typeof path === "string" && /^\/[A-Za-z0-9/._-]{1,100}$/.test(path) && !path.includes("..");
}
