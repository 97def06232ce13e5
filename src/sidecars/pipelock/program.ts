/**
 * A pipelock that runs. It gets an environment of its own with nothing in it, and its key as a file that is gone once it
 * serves (I2). Whatever ends this process, it ends too (I9).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { PipelockConfig, PipelockPolicy } from "../../contract/pipelock.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { tethered } from "../../lib/tethered.ts";
import { pipelockYaml } from "./settings.ts";

/** Takes a tenth of a second; below what the keeper waits for a reload. */
const START_TIMEOUT_MS = 4_000;
const LOOK_AGAIN_MS = 20;
const STDERR_TAIL_CHARACTERS = 600;
const LOOPBACK = "127.0.0.1";
const SYSTEM_ROOTS = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

export interface RunningPipelock {
  /** On the loopback. */
  readonly port: number;
  /** Ends it, and waits until it is gone. */
  stop(): Promise<void>;
  /** Does not wait. */
  kill(): void;
  /** With what it said last. */
  readonly ended: Promise<string>;
}

/**
 * Starts one on a port of its own and waits until it listens. It reads its configuration again when that changes, and
 * refuses to be loosened: so each has a folder of its own.
 * @throws UserError with its own words when it does not.
 */
export async function runPipelock(
  config: Pick<PipelockConfig, "program" | "ca" | "upstreamCa">,
  folder: string,
  policy: PipelockPolicy,
): Promise<RunningPipelock> {
  const { ca } = config;
  const port = await freePort();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = (name: string): string => join(folder, name);
  const places = { listen: `${LOOPBACK}:${port}`, certificate: file("ca.pem"), key: file("ca-key.pem") };
  // SEC1, which every release reads.
  const key = createPrivateKey(ca.privateKey).export({ type: "sec1", format: "pem" });
  await writePrivately(places.certificate, ca.certificate);
  await writePrivately(file("pipelock.yaml"), pipelockYaml(places, policy));
  await writePrivately(places.key, key);
  try {
    const roots = await writeRoots(file("roots.pem"), config.upstreamCa);
    const child = start(config.program, file("pipelock.yaml"), { HOME: folder, ...roots });
    return await serving(child, port);
  } finally {
    await rm(places.key, { force: true });
  }
}

async function writePrivately(path: string, text: string | Buffer): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, text, { mode: 0o600 });
}

/** A Go program reads the system's roots from here where it is told to (crypto/x509; not on macOS). */
async function writeRoots(path: string, upstreamCa: readonly string[]): Promise<Record<string, string>> {
  if (upstreamCa.length === 0) return {};
  const system = await Promise.all(SYSTEM_ROOTS.map((each) => readFile(each, "utf8").catch(() => "")));
  await writePrivately(
    path,
    [...system.slice(0, system.findIndex((text) => text !== "") + 1), ...upstreamCa].join("\n"),
  );
  return { SSL_CERT_FILE: path };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, LOOPBACK, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function start(program: string, yaml: string, env: Readonly<Record<string, string>>): ChildProcess {
  const [shell, ...args] = tethered([program, "run", "--config", yaml]);
  return spawn(shell, args, {
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin", ...env },
    stdio: ["pipe", "ignore", "pipe"],
  });
}

async function serving(child: ChildProcess, port: number): Promise<RunningPipelock> {
  let said = "";
  child.stdin?.on("error", () => {});
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    // Its own end, and not that of its output: a program that it left behind would hold that open.
    child.once("exit", (code, signal) => {
      const words = printable(said.trim());
      resolve(`pipelock ended (${signal ?? code})${words === "" ? "" : `: ${words}`}`);
    });
  });
  let over: string | undefined;
  void ended.then((reason) => {
    over = reason;
  });
  const kill = (): void => {
    child.stdin?.destroy();
  };
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await isServed(port))) {
    if (over === undefined && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      continue;
    }
    kill();
    throw new UserError(over ?? `pipelock did not listen within ${START_TIMEOUT_MS} ms`);
  }
  return {
    port,
    ended,
    kill,
    async stop() {
      kill();
      await ended;
    },
  };
}

function isServed(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK);
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
