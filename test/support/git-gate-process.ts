/** The gate as the process it is in a bundle: configured over stdin, heard over stdout. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FromSidecar, fromSidecarSchema } from "../../src/contract/sidecar.ts";
import { readLines } from "../../src/lib/json-lines.ts";
import { must, type WorkingCopy, workingCopy } from "./git-gate.ts";

const ENTRY = fileURLToPath(new URL("./git-gate-entry.ts", import.meta.url));

export interface GateProcess {
  readonly child: ChildProcess;
  readonly messages: FromSidecar[];
  readonly ended: Promise<number | string>;
  send(message: unknown): void;
  next<T extends FromSidecar["type"]>(type: T): Promise<Extract<FromSidecar, { type: T }>>;
  events(name: string): Record<string, unknown>[];
  kill(): Promise<unknown>;
}

export interface LaunchOptions {
  /** Where it finds its programs first. */
  readonly path?: string;
  /** A command line that runs what follows it. */
  readonly within?: readonly string[];
}

export function launchGate(config: unknown, { path, within = [] }: LaunchOptions = {}): GateProcess {
  const [command = "", ...args] = [...within, process.execPath, "--import", "tsx", ENTRY];
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "inherit", "ipc"],
    env: { PATH: path === undefined ? process.env["PATH"] : `${path}:${process.env["PATH"]}` },
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  stdin.on("error", () => {});
  const messages: FromSidecar[] = [];
  const send = (message: unknown): void => void stdin.write(`${JSON.stringify(message)}\n`);
  void (async () => {
    for await (const line of readLines(stdout)) {
      const message = fromSidecarSchema.parse(JSON.parse(line));
      messages.push(message);
      // As a keeper does, once it has written it down.
      if (message.type === "event" && message.receipt !== undefined)
        send({ type: "recorded", receipt: message.receipt });
    }
  })();
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  send({ type: "config", config });
  return {
    child,
    messages,
    ended,
    send,
    next: (type) =>
      until(() => messages.find((message) => message.type === type)) as Promise<
        Extract<FromSidecar, { type: typeof type }>
      >,
    events: (name) =>
      messages.flatMap((message) =>
        message.type === "event" && message.event === name ? [message.data] : [],
      ),
    kill() {
      child.kill("SIGKILL");
      return ended;
    },
  };
}

/** A clone of what it serves as `app`, in the folder: made once, and shown where the gate is now. */
export async function cloneFrom(gate: GateProcess, folder: string): Promise<WorkingCopy> {
  const { listening } = await gate.next("ready");
  const copy = join(folder, "copy");
  const url = `http://${listening[0]}/app.git`;
  if (!existsSync(copy)) await must(["git", "clone", "-q", url, copy]);
  await must(["git", "-C", copy, "remote", "set-url", "origin", url]);
  return workingCopy(copy);
}

export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (let left = 800; left > 0; left--) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come to pass");
}

/** Resident bytes of the largest program that runs in the environment of the gate with this state. */
export function residentOf(stateDir: string): number {
  const sizes = readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid)) return [];
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`GIT_CONFIG_GLOBAL=${stateDir}/`))
        return [];
      const [, size = "0"] = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
      return [Number(size) * 1024];
    } catch {
      return [];
    }
  });
  return Math.max(0, ...sizes);
}

/** Locks, quarantines and half written packs. */
export function leftovers(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    /(?:\.lock|\.new|\/tmp_[^/]*)$/.test(path),
  );
}
