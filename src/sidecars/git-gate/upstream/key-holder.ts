/**
 * Keeps a private key where only signatures come out: in the memory of an ssh-agent of its own, for one upstream,
 * ended with the gate. The alternative, a file that ssh reads, would put a key on a disk on which the operator did
 * not put it (I2), and a killed gate would leave it there.
 */
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../../lib/errors.ts";
import { startProgram } from "../git/run.ts";
import { gitEnvironment, type Home } from "../git/settings.ts";

export interface KeyHolder {
  readonly socket: string;
  close(): void;
}

/** An agent listens within some milliseconds. */
const START_MS = 5_000;
const POLL_MS = 5;
const FOR_EVER_MS = 2 ** 31 - 1;

/** The kernel's, less one: a longer path is cut off without a word. */
const MAX_SOCKET_PATH = 107;

/** Ends with its stdin. (The kernel does not end a set-group-id program, as ssh-agent is, with its parent.) */
const HOLD = 'ssh-agent -D -a "$1" & agent=$!; cat; kill "$agent"';

/**
 * @param onLost called when the key is there no more though nobody closed this: the agent was killed, for want of memory
 *   say.
 * @throws UserError when ssh-add does not take the key.
 */
export async function startKeyHolder(
  name: string,
  key: string,
  home: Home,
  onLost: () => void,
): Promise<KeyHolder> {
  const socket = join(home.runtimeDir, `${name}.agent`);
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
    throw new UserError(`the path ${socket} is too long for a socket`);
  await rm(socket, { force: true });
  const env = gitEnvironment(home);
  const cwd = home.runtimeDir;
  const agent = startProgram(["sh", "-c", HOLD, "hold", socket], {
    env,
    cwd,
    timeoutMs: FOR_EVER_MS,
    endsWithStdin: true,
  });
  agent.stdout.resume();
  let gone = false;
  void agent.ended.then(() => {
    gone = true;
  });
  try {
    const deadline = performance.now() + START_MS;
    while (!(await answers(socket))) {
      if (gone || performance.now() > deadline) {
        throw new UserError("ssh-agent does not start", {
          hint: "install OpenSSH's client (Debian: apt-get install openssh-client)",
        });
      }
      await sleep(POLL_MS);
    }
    const adding = startProgram(["ssh-add", "-q", "-"], {
      env: { ...env, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "force", SSH_ASKPASS: "/bin/false" },
      cwd,
      timeoutMs: START_MS,
    });
    adding.stdout.resume();
    adding.stdin.end(`${key.trimEnd()}\n`);
    if ((await adding.ended).code !== 0) {
      throw new UserError(`the private key of ${name} cannot be used`, {
        hint: "it must be one that ssh-add reads, without a passphrase; a key with one belongs into your ssh-agent",
      });
    }
  } catch (error) {
    agent.kill();
    throw error;
  }
  // The kernel closes it with the agent, however that ends and whoever else of them lives on.
  const held = connect(socket);
  let closed = false;
  held.on("error", () => {});
  held.once("close", () => closed || onLost());
  held.resume();
  return {
    socket,
    close() {
      closed = true;
      held.destroy();
      agent.kill();
    },
  };
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    const settle = (answer: boolean): void => {
      connection.destroy();
      resolve(answer);
    };
    connection.once("error", () => settle(false));
    connection.once("connect", () => settle(true));
  });
}
