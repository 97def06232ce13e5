/**
 * One connection to an ssh upstream, kept for a while, over which git's own runs of ssh open their sessions: shaking
 * hands costs more than most pushes. Only a help: while there is none, or it has no room, ssh connects by itself, with
 * the same checks.
 */
import { startProgram } from "../git/run.ts";
import { gitEnvironment, type Home } from "../git/settings.ts";
import { HOST_ALIAS } from "./ssh-settings.ts";

export interface SshMaster {
  /** Says that the upstream is about to be talked to. Waits for nothing. */
  use(): void;
  close(): void;
}

/** Between two talks of an agent that is at work; an upstream need not hold a connection for one that is not. */
const IDLE_MS = 2 * 60_000;
/** No longer than this in any case: a key that was withdrawn meanwhile is to be noticed. */
const LONGEST_MS = 60 * 60_000;

/** While it connects, ssh's own socket has a name with so many characters more. */
const SUFFIX_LENGTH = 17;
const MAX_SOCKET_PATH = 103;

/** Whether a socket at `path` can be had at all. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) + SUFFIX_LENGTH <= MAX_SOCKET_PATH;
}

export function createSshMaster(settingsFile: string, home: Home): SshMaster {
  let running: ReturnType<typeof startProgram> | undefined;
  let idle: NodeJS.Timeout | undefined;
  const close = (): void => {
    clearTimeout(idle);
    running?.kill();
    running = undefined;
  };
  return {
    use() {
      clearTimeout(idle);
      idle = setTimeout(close, IDLE_MS).unref();
      if (running !== undefined) return;
      const master = startProgram(["ssh", "-F", settingsFile, "-o", "ControlMaster=yes", "-N", HOST_ALIAS], {
        env: gitEnvironment(home),
        cwd: home.runtimeDir,
        timeoutMs: LONGEST_MS,
      });
      master.stdout.resume();
      running = master;
      // Upstreams close what is quiet; the next use opens another.
      void master.ended.then(() => {
        if (running === master) running = undefined;
      });
    },
    close,
  };
}
