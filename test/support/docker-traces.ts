/** What the host and an engine still have of a bottle. */
import { readdirSync, readFileSync } from "node:fs";
import { runOk } from "../../src/lib/processes.ts";
import type { TestBottle } from "./bottle-guest.ts";

/** By the bottle's name alone: what the engine has, and processes of the host's. */
export async function engineTraces(program: string, { id }: TestBottle): Promise<readonly string[]> {
  const names = async (...words: string[]): Promise<readonly string[]> =>
    (await runOk([program, ...words])).stdout
      .toString()
      .split("\n")
      .filter((name) => name.includes(id));
  return [
    ...(await names("container", "ls", "--all", "--format", "{{.Names}}")),
    ...(await names("network", "ls", "--format", "{{.Name}}")),
    ...(await names("volume", "ls", "--format", "{{.Name}}")),
    ...processesNaming(id),
  ];
}

function processesNaming(id: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return argv.includes(id) ? [argv] : [];
      } catch {
        return [];
      }
    });
}
