/**
 * What a micro-VM's command server is asked besides what every guest's init is (src/jail/guest-protocol.ts). Its answer
 * may be a hostile guest's: bounded in size and time, parsed, and shown escaped.
 */
import * as z from "zod";
import { readFirstLine } from "../../lib/first-line.ts";
import { writeJsonLine } from "../../lib/json-lines.ts";
import { printable } from "../../lib/printable.ts";
import { hostTime } from "./identity.ts";
import type { SshLink } from "./ssh-link.ts";

/** The disk is mounted meanwhile; one of a guest that was killed is repaired first. */
const READY_TIMEOUT_MS = 60_000;
/** One system call, on a busy host. */
const CLOCK_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 4096;

const readySchema = z.union([
  z.strictObject({ shell: z.enum(["/bin/bash", "/bin/sh"]) }),
  z.strictObject({ error: z.string() }),
]);

/** The agent's shell, once the guest is in its image. @throws Error with the guest's reason when it cannot be. */
export async function shellOf(link: SshLink): Promise<string> {
  const said = readySchema.parse(await ask(link, { kind: "ready" }, READY_TIMEOUT_MS));
  if ("error" in said) throw new Error(`the guest could not start: ${printable(said.error)}`);
  return said.shell;
}

/** Sets the guest's clock, which stood still with it. @throws Error when the guest does not say that it did. */
export async function setClock(link: SshLink): Promise<void> {
  const said = await ask(link, { kind: "clock", time: hostTime() }, CLOCK_TIMEOUT_MS);
  z.strictObject({ connected: z.literal(true) }).parse(said);
}

async function ask(
  link: SshLink,
  header: Readonly<Record<string, unknown>>,
  timeoutMs: number,
): Promise<unknown> {
  const stream = link.command(false);
  const timer = setTimeout(
    () => stream.destroy(new Error(`the guest did not answer within ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  try {
    await writeJsonLine(stream, header);
    return JSON.parse(await readFirstLine(stream, MAX_ANSWER_BYTES));
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}
