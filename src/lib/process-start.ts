/**
 * Which process a number stood for: numbers are used again, so whoever writes one down writes down with it when
 * that process began, and is not fooled later by another one of that number.
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { codeOf } from "./errors.ts";
import { run } from "./processes.ts";

/** Stands for a start that the system does not tell; only the process number counts then. */
export const UNTOLD = "0";
/** The start of a process that has ended and waits for its parent: equal to nothing that was written down. */
const ENDED = "ended";

let own: Promise<string | undefined> | undefined;

/** When this process began, as {@link processStart} has it; {@link UNTOLD} where that cannot be told. */
export async function ownProcessStart(): Promise<string> {
  own ??= processStart(process.pid);
  return (await own) ?? UNTOLD;
}

/** Whether the process lives that had the number `pid` and began at `start`. */
export async function isProcessAlive(pid: number, start: string): Promise<boolean> {
  // To kill() 0 is our own process group.
  if (pid === 0) return false;
  const now = start === UNTOLD ? undefined : await processStart(pid);
  if (now !== undefined) return now === start;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/**
 * When the process `pid` began, as a word of hexadecimal digits and dashes that no other process of that number
 * has, before or after a reboot; "ended" for a zombie; undefined when there is none, or it cannot be told.
 * Linux: field 22 of /proc/<pid>/stat (clock ticks since boot) and the boot's id. Elsewhere: `ps`, to the second.
 */
export function processStart(
  pid: number,
  platform: NodeJS.Platform = process.platform,
): Promise<string | undefined> {
  return platform === "linux" ? startFromProc(pid) : startFromPs(pid);
}

async function startFromProc(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name, and may hold spaces and parentheses of its own.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, ticks] = [fields[0], fields[19]];
    if (state === "Z" || state === "X") return ENDED;
    return ticks === undefined ? undefined : `${bootId()}-${ticks}`;
  } catch {
    return undefined;
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
}

async function startFromPs(pid: number): Promise<string | undefined> {
  // The same words for every caller, whatever his language and time zone.
  const env = { ...process.env, LC_ALL: "C", TZ: "UTC0" };
  const { code, stdout } = await run(["ps", "-o", "state=,lstart=", "-p", String(pid)], { env });
  const [, state, date] = /^\s*(\S+)\s+(.+?)\s*$/.exec(stdout.toString("latin1")) ?? [];
  if (code !== 0 || state === undefined || date === undefined) return undefined;
  if (state.startsWith("Z")) return ENDED;
  const at = Date.parse(`${date} UTC`);
  return Number.isNaN(at) ? undefined : (at / 1000).toString(16);
}
