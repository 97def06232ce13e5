/** A real ssh-agent, with the keys it is given. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { connect } from "node:net";

export interface SshAgent {
  /** Its `SSH_AUTH_SOCK`. */
  readonly socket: string;
  close(): void;
}

export async function startSshAgent(socket: string, ...keyFiles: readonly string[]): Promise<SshAgent> {
  const child: ChildProcess = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  // Its socket is there before it listens.
  for (let left = 1000; left > 0 && !(await answers(socket)); left--)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const env = { PATH: process.env["PATH"], SSH_AUTH_SOCK: socket };
  for (const file of keyFiles) execFileSync("ssh-add", ["-q", file], { env, stdio: "ignore" });
  return { socket, close: () => void child.kill() };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket.destroy() !== undefined));
    socket.once("error", () => resolve(false));
  });
}
