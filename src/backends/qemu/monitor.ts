/** QEMU's monitor (QMP): one command at a time, by the keeper alone. What it answers is QEMU's word, not the guest's. */
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import * as z from "zod";
import { messageOf } from "../../lib/errors.ts";
import { readJsonLines } from "../../lib/json-lines.ts";

const COMMAND_TIMEOUT_MS = 20_000;

const replySchema = z.union([
  z.looseObject({ return: z.unknown() }),
  z.looseObject({ error: z.looseObject({ desc: z.string() }) }),
  z.looseObject({ event: z.string() }),
  z.looseObject({ QMP: z.unknown() }),
]);

export interface Monitor {
  /** @throws Error with QEMU's own words. */
  run(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Resolves when the machine is gone, or no longer heard. */
  readonly gone: Promise<void>;
  close(): void;
}

const RESUME_POLL_MS = 2;
/** Its devices are some 70 kB. */
const RESUME_TIMEOUT_MS = 20_000;

/**
 * Lets a machine go on from a template whose memory it has.
 * @param fd of the template's devices, as QEMU numbers it.
 * @throws Error when what it read is no template of it.
 */
export async function goOn(monitor: Monitor, fd: number): Promise<void> {
  await leaveMemory(monitor);
  await monitor.run("migrate-incoming", { uri: `fd:${fd}` });
  const from = performance.now();
  for (;;) {
    const { status } = (await monitor.run("query-status")) as { status: string };
    if (status !== "inmigrate") break;
    if (performance.now() - from > RESUME_TIMEOUT_MS) throw new Error("the machine does not go on in time");
    await pause(RESUME_POLL_MS);
  }
  await monitor.run("cont");
}

/** Memory that is not the machine's alone is neither saved nor read with the rest of it. */
export async function leaveMemory(monitor: Monitor): Promise<void> {
  await monitor.run("migrate-set-capabilities", {
    capabilities: [{ capability: "x-ignore-shared", state: true }],
  });
}

export async function openMonitor(path: string): Promise<Monitor> {
  const socket = connect(path);
  const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  const fail = (error: Error): void => {
    for (const each of waiting.splice(0)) each.reject(error);
  };
  socket.on("error", fail);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const gone = read(socket, (reply) => {
    if ("return" in reply) waiting.shift()?.resolve(reply["return"]);
    else if ("error" in reply) waiting.shift()?.reject(new Error((reply["error"] as { desc: string }).desc));
  }).then(
    () => fail(new Error("the machine is gone")),
    (error: unknown) => fail(new Error(messageOf(error))),
  );

  const run: Monitor["run"] = (command, parameters) =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) {
        reject(new Error("the machine is gone"));
        return;
      }
      const timer = setTimeout(() => {
        socket.destroy(new Error(`${command} did not end within ${COMMAND_TIMEOUT_MS} ms`));
      }, COMMAND_TIMEOUT_MS);
      waiting.push({
        resolve(value) {
          clearTimeout(timer);
          resolve(value);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
      socket.write(`${JSON.stringify({ execute: command, ...(parameters && { arguments: parameters }) })}\n`);
    });
  await run("qmp_capabilities");
  return {
    run,
    gone,
    close: () => void socket.destroy(),
  };
}

async function read(socket: Socket, handle: (reply: Record<string, unknown>) => void): Promise<void> {
  for await (const line of readJsonLines(socket)) handle(replySchema.parse(line) as Record<string, unknown>);
}
