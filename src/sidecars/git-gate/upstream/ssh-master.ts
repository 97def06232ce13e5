/**
 * One connection to an ssh upstream, kept for a while, over which git's own runs of ssh open their sessions: shaking
 * hands costs more than most pushes. It is opened before anything is known of a push, and carries nothing of one
 * before git sends it. Only a help: while there is none, or it has no room, ssh connects by itself, with the same checks.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type Running, startProgram } from "../git/run.ts";
import { gitEnvironment, type Home } from "../git/settings.ts";
import { LIMITS } from "../limits.ts";
import { HOST_ALIAS } from "./ssh-settings.ts";

export interface SshMaster {
  /** Runs what talks with the upstream, while there is a connection, and keeps that until it has ended. */
  during<T>(talk: () => Promise<T>): Promise<T>;
  close(): void;
}

export interface MasterTimes {
  /** Between two talks of an agent that is at work. An upstream need not hold a connection for one that is not. */
  readonly idleMs: number;
  /** Carries nothing new from then on: a key that was withdrawn meanwhile is to be noticed. */
  readonly longestMs: number;
  /** After one that could not be had: an upstream that has none to share is not asked twice at every talk. */
  readonly retryMs: number;
}

const TIMES: MasterTimes = { idleMs: 30 * 60_000, longestMs: 60 * 60_000, retryMs: 5 * 60_000 };
/** For a connection to be there. Beyond it ssh tries by itself, and says what is wrong. */
const PATIENCE_MS = 5_000;
/** How late it is noticed that it is there. */
const POLL_MS = 3;

/** While it connects, ssh's own socket has a name with so many characters more. */
const SUFFIX_LENGTH = 17;
const MAX_SOCKET_PATH = 103;

/** Whether a socket at `path` can be had at all. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) + SUFFIX_LENGTH <= MAX_SOCKET_PATH;
}

/** For an upstream whose connection cannot be shared. */
export const NO_MASTER: SshMaster = { during: (talk) => talk(), close: () => {} };

interface Connection {
  running: Running | undefined;
  /** When it carries sessions, or will not. */
  ready: Promise<void>;
  talks: number;
}

/** @param control where its socket is to be, as the settings say. */
export function createSshMaster(
  settingsFile: string,
  control: string,
  home: Home,
  { idleMs, longestMs, retryMs }: MasterTimes = TIMES,
): SshMaster {
  let current: Connection | undefined;
  /** The end of what would remove the socket of the next one. */
  let before: Promise<unknown> = Promise.resolve();
  let idle: NodeJS.Timeout | undefined;
  let longest: NodeJS.Timeout | undefined;
  let closed = false;
  let notBefore = 0;
  const all = new Set<Running>();

  const ssh = (args: readonly string[], timeoutMs: number): Running => {
    const running = startProgram(["ssh", "-F", settingsFile, ...args, HOST_ALIAS], {
      env: gitEnvironment(home),
      cwd: home.runtimeDir,
      timeoutMs,
      waits: true,
    });
    running.stdout.resume();
    return running;
  };

  function open(): Connection {
    const connection: Connection = { running: undefined, ready: Promise.resolve(), talks: 0 };
    connection.ready = connect(connection);
    return connection;
  }

  async function connect(connection: Connection): Promise<void> {
    await before;
    await rm(control, { force: true });
    if (closed) return;
    const running = ssh(["-o", "ControlMaster=yes", "-N"], longestMs + LIMITS.exchangeMs);
    connection.running = running;
    all.add(running);
    let over = false;
    before = running.ended.then(() => {
      over = true;
      all.delete(running);
      // Upstreams close what is quiet; the next talk opens another.
      if (current === connection) current = undefined;
      // One that is killed before it listens for signals leaves its socket; before the next one it would be removed.
      if (closed) return rm(control, { force: true });
    });
    const deadline = performance.now() + PATIENCE_MS;
    while (!over && !existsSync(control) && performance.now() < deadline) await sleep(POLL_MS);
    if (!existsSync(control)) notBefore = performance.now() + retryMs;
    clearTimeout(longest);
    longest = setTimeout(() => retire(connection), longestMs).unref();
  }

  /** Those that talk go on; it takes nobody else. */
  function retire(connection: Connection): void {
    if (current !== connection) return;
    current = undefined;
    if (connection.talks === 0) connection.running?.kill();
    else before = ssh(["-O", "stop"], PATIENCE_MS).ended;
  }

  return {
    async during(talk) {
      if (current === undefined && performance.now() < notBefore) return await talk();
      clearTimeout(idle);
      current ??= open();
      const own = current;
      own.talks += 1;
      try {
        await own.ready;
        return await talk();
      } finally {
        own.talks -= 1;
        if (own.talks === 0) {
          if (current !== own) own.running?.kill();
          else idle = setTimeout(() => retire(own), idleMs).unref();
        }
      }
    },
    close() {
      closed = true;
      clearTimeout(idle);
      clearTimeout(longest);
      for (const running of all) running.kill();
    },
  };
}
