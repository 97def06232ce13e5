/** What the host sees of a `smolmachines` guest, and a PATH on which there is a release of smolvm for a while. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stateFolderIn } from "../../src/backends/smolmachines/state-folder.ts";
import type { TestBottle } from "./bottle-guest.ts";
import { type InstallOptions, installSmolvm } from "./smolvm.ts";

/** Whoever has the machine's folder in its environment or arguments, and whatever else is left of it. */
export function tracesOf({
  stateDir,
  runtimeDir,
}: Pick<TestBottle, "stateDir" | "runtimeDir">): readonly string[] {
  const { short, path } = stateFolderIn(stateDir);
  const known = (pid: string): boolean =>
    ["environ", "cmdline", "mountinfo"].some((file) =>
      [short, path].some((place) => read(`/proc/${pid}/${file}`).includes(place)),
    );
  return [
    ...readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && known(name) && isAlive(name))
      .map((pid) => `process ${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 150)}`),
    ...(existsSync(short) ? [short] : []),
    ...readdirSync(runtimeDir),
    ...read("/proc/self/mountinfo")
      .split("\n")
      .filter((line) => line.includes(stateDir)),
  ];
}

/** What is left once the host's kernel has buried who was killed. */
export async function lastingTracesOf(
  bottle: Pick<TestBottle, "stateDir" | "runtimeDir">,
): Promise<readonly string[]> {
  let left = tracesOf(bottle);
  for (let i = 0; i < 50 && left.length > 0; i++) {
    await pause(20);
    left = tracesOf(bottle);
  }
  return left;
}

/** Processes that are the machine itself. */
export function vmmOf({ stateDir }: Pick<TestBottle, "stateDir">): readonly number[] {
  const { short } = stateFolderIn(stateDir);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter(
      (pid) =>
        read(`/proc/${pid}/cmdline`).includes("_boot-vm") && read(`/proc/${pid}/environ`).includes(short),
    )
    .map(Number);
}

function isAlive(pid: string): boolean {
  const stat = read(`/proc/${pid}/stat`);
  return !["Z", "X", undefined].includes(stat.slice(stat.lastIndexOf(")") + 2)[0]);
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Puts `version` first on PATH, with a cache and a home of its own; `undo` takes it back. */
export function useSmolvm(
  version: string,
  options: InstallOptions = {},
): { readonly folder: string; undo(): void } {
  const folder = mkdtempSync(join(tmpdir(), "bbs-"));
  const { PATH, BOT_BOTTLE_CACHE, BOT_BOTTLE_HOME } = process.env;
  process.env["PATH"] = `${installSmolvm(folder, version, options)}:${PATH}`;
  process.env["BOT_BOTTLE_CACHE"] = join(folder, "cache");
  process.env["BOT_BOTTLE_HOME"] = join(folder, "home");
  const restore = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  return {
    folder,
    undo() {
      restore("PATH", PATH);
      restore("BOT_BOTTLE_CACHE", BOT_BOTTLE_CACHE);
      restore("BOT_BOTTLE_HOME", BOT_BOTTLE_HOME);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
