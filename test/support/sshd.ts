/** A real sshd on the loopback: Debian's, as whoever runs the tests, with keys made for it. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { must } from "./git-gate.ts";
import { pidOf } from "./pid-of.ts";

const PROGRAMS = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"];
const program = PROGRAMS.find((path) => existsSync(path));

/** Whether there is one here. */
export const HAS_SSHD: boolean = program !== undefined;

export interface Sshd {
  readonly port: number;
  readonly user: string;
  /** "ssh-ed25519 AAAA…" */
  readonly hostKey: string;
  /** The text of a private key that it lets in. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Connections that it has let in so far. */
  logins(): number;
  /** Ends every connection that it has, as one does that has no room for the quiet. */
  hangUp(): void;
  /** What it wrote. */
  log(): string;
  close(): void;
}

/** @param address where it listens; of a network in which the loopback leads nowhere, another one. */
export async function startSshd(folder: string, address = "127.0.0.1"): Promise<Sshd> {
  if (program === undefined) throw new Error("no sshd");
  mkdirSync(folder, { recursive: true });
  const hostFile = join(folder, "host");
  const userFile = join(folder, "user");
  for (const file of [hostFile, userFile])
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
  const publicKey = (await readFile(`${userFile}.pub`, "utf8")).trim();
  const authorized = join(folder, "authorized");
  await writeFile(authorized, `${publicKey}\n`);
  await chmod(authorized, 0o600);
  // Where root's sshd wants its empty folder.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const port = await freePort();
  const settings = [
    `Port ${port}`,
    `ListenAddress ${address}`,
    `HostKey ${hostFile}`,
    `AuthorizedKeysFile ${authorized}`,
    "PidFile none",
    "UsePAM no",
    "StrictModes no",
    "PasswordAuthentication no",
    "PermitRootLogin yes",
    "LogLevel VERBOSE",
    "MaxStartups 200",
    "PrintMotd no",
    // Or each session would run what this user's shell is told to begin with.
    "SetEnv HOME=/nonexistent",
  ];
  const config = join(folder, "sshd_config");
  await writeFile(config, `${settings.join("\n")}\n`);
  const child: ChildProcess = spawn(program, ["-D", "-e", "-f", config], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  await listening(port, () => log);
  const [type, base64] = (await readFile(`${hostFile}.pub`, "utf8")).split(" ");
  return {
    port,
    user: userInfo().username,
    hostKey: `${type} ${base64}`,
    privateKey: await readFile(userFile, "utf8"),
    publicKey,
    logins: () => log.split("Accepted publickey").length - 1,
    hangUp() {
      for (const pid of childrenOf(pidOf(child))) process.kill(pid, "SIGTERM");
    },
    log: () => log,
    close: () => void child.kill("SIGKILL"),
  };
}

/** Linux only. */
function childrenOf(parent: number): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ")[1] === `${parent}`;
      } catch {
        // It has ended in this moment.
        return false;
      }
    })
    .map(Number);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function listening(port: number, log: () => string): Promise<void> {
  for (let left = 200; left > 0; left--) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => resolve(socket.destroy() !== undefined));
      socket.once("error", () => resolve(false));
    });
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`sshd does not listen: ${log()}`);
}
