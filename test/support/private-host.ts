/**
 * A host of a test's own, on which everything is its: process, network, mount, IPC and host-name namespaces around an
 * init that buries orphans. So what is there before and afterwards can be compared as a whole, whatever else this
 * machine does. Needs root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { exited, runOk } from "../../src/lib/processes.ts";
import { cgroupsBelow, removeCgroups } from "./cgroups.ts";

export interface PrivateHost {
  /** What comes before a command line to have it run there, in `folder`. */
  words(folder: string): readonly string[];
  /** Processes there, as they are numbered outside. */
  processes(): readonly number[];
  /** All that there is, but for files: one line for each thing, with what it is in front. */
  look(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Namespaces of these kinds are the host's own; another one that a process is in was made by somebody there. */
const KINDS = ["net", "mnt", "pid", "user", "ipc", "uts", "cgroup"] as const;
const UP_MS = 60_000;

/** Where programs make their groups, which are this machine's: there, it has a folder of its own in their place. */
const OWN_CGROUPS = `
for controller in cpu memory pids; do
  at=/sys/fs/cgroup/$controller
  if [ -d "$at" ]; then mkdir -p "$at/$1" && mount --bind "$at/$1" "$at"; fi
done`;

/** @param options.sharesCgroups it has this machine's. */
export async function startPrivateHost(
  options: { readonly sharesCgroups?: true } = {},
): Promise<PrivateHost> {
  const cgroups = `bbv-${randomBytes(4).toString("hex")}`;
  const alone = ["--mount", "--propagation", "private", "--net", "--pid", "--ipc", "--uts", "--mount-proc"];
  const outer: ChildProcess = spawn(
    "setpriv",
    [
      ...["--pdeathsig", "KILL", "--", "unshare", ...alone, "--fork", "--kill-child=KILL", "--"],
      // A shell that waits for its foreground program waits for everybody.
      ...[
        "sh",
        "-ec",
        `${options.sharesCgroups ? "" : OWN_CGROUPS}\nip link set lo up; echo up; sleep 86400; exit 1`,
        "sh",
        cgroups,
      ],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the private host does not come up")), UP_MS);
    outer.stdout?.once("data", () => resolve(clearTimeout(timer)));
    outer.once("exit", () => reject(new Error("the private host ended")));
  });
  const init = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, "utf8").trim());
  const own = namespaceOf(init, "pid");
  // What is mounted on this machine was there before, and goes when whoever has it there takes it away.
  const notOurs = new Set(mountsOf(init));

  const enter = ["nsenter", `--target=${init}`, "--mount", "--net", "--pid", "--ipc", "--uts"];
  /** In its process namespace, or in one below it. */
  const processes = (): readonly number[] =>
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => isBelow(pid, init, own) && stateOf(pid) !== "Z");
  // What its init waits for, and nobody else does.
  while (processes().length < 2) await pause(5);
  return {
    words: (folder) => [...enter, `--wd=${folder}`, "--"],
    processes,
    async look() {
      const said = async (...argv: readonly string[]): Promise<readonly string[]> => {
        const [program = "", ...args] = [...enter, "--", ...argv];
        return (await runOk([program, ...args])).stdout
          .toString()
          .split("\n")
          .filter((line) => line !== "");
      };
      const there = processes().filter((pid) => pid !== init);
      return [
        ...there.map((pid) => `process ${argumentsOf(pid)}`),
        ...unique(there.flatMap((pid) => KINDS.map((kind) => namespaceOf(pid, kind)))).map(
          (name) => `namespace ${name}`,
        ),
        ...mountsOf(init)
          .filter((line) => !notOurs.has(line))
          .map((line) => `mount ${line}`),
        ...(await said("ip", "-o", "address")).map((line) => `address ${line.replace(/\s+/g, " ")}`),
        ...(await said("ip", "-o", "link")).map((line) => `interface ${line.split(/[:@]/)[1]?.trim()}`),
        ...(await said("ip", "route", "show", "table", "all")).map((line) => `route ${line}`),
        ...(await rules(said)).map((line) => `rule ${line}`),
        ...listeners(init),
        ...sharedMemory(init),
        ...cgroupsBelow(cgroups).map((name) => `cgroup ${name}`),
      ].sort();
    },
    async close() {
      outer.kill("SIGKILL");
      await exited(outer);
      while (existsSync(`/proc/${init}`) && stateOf(init) !== "Z") await pause(5);
      removeCgroups(cgroups);
    },
  };
}

/** Files below `root`, and short ways elsewhere that lead there; one line each. */
export function filesOf(root: string): readonly string[] {
  const ways = readdirSync("/tmp").filter((name) => {
    try {
      return readlinkSync(join("/tmp", name)).startsWith(root);
    } catch {
      return false;
    }
  });
  const loops = existsSync("/sys/block")
    ? readdirSync("/sys/block").filter((name) =>
        read(`/sys/block/${name}/loop/backing_file`).startsWith(root),
      )
    : [];
  return [
    ...walk(root).map((path) => `file ${path}`),
    ...ways.map((name) => `file /tmp/${name}`),
    ...loops.map((name) => `loop device ${name}`),
  ].sort();
}

/** What came and what went, by multisets of lines. */
export function differences(before: readonly string[], after: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of after) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of before) counts.set(line, (counts.get(line) ?? 0) - 1);
  return [...counts]
    .filter(([, count]) => count !== 0)
    .map(([line, count]) => `${count > 0 ? "+" : "-"} ${line}`);
}

function isBelow(pid: number, init: number, own: string): boolean {
  if (pid === init || namespaceOf(pid, "pid") === own) return true;
  // Its numbers, from ours inwards: a process in a namespace below has one more than those of the host's own.
  const numbers = /^NSpid:\s+(.*)$/m.exec(read(`/proc/${pid}/status`))?.[1]?.split(/\s+/) ?? [];
  const ours = /^NSpid:\s+(.*)$/m.exec(read(`/proc/${init}/status`))?.[1]?.split(/\s+/) ?? [];
  if (numbers.length <= ours.length) return false;
  for (let at = parentOf(pid); at > 1; at = parentOf(at)) {
    if (at === init || namespaceOf(at, "pid") === own) return true;
  }
  return false;
}

function namespaceOf(pid: number, kind: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return "";
  }
}

function mountsOf(pid: number): readonly string[] {
  return read(`/proc/${pid}/mountinfo`)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, , , root, place] = line.split(" ");
      return `${place} from ${root} ${line.split(" - ")[1]?.split(" ").slice(0, 2).join(" ")}`;
    });
}

/** Of filters of packets, where there are programs that tell them. */
async function rules(
  said: (...argv: readonly string[]) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const asked = [["nft", "list", "ruleset"], ["iptables-save"], ["ip", "rule"]] as const;
  const told = await Promise.all(asked.map((argv) => said(...argv).catch(() => [])));
  return told.flat().filter((line) => !line.startsWith("#"));
}

function listeners(init: number): readonly string[] {
  const tcp = ["tcp", "tcp6"].flatMap((name) =>
    read(`/proc/${init}/net/${name}`)
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A")
      .map((fields) => `listener ${name} ${fields[1]}`),
  );
  const unix = read(`/proc/${init}/net/unix`)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "00010000")
    .map((fields) => `listener ${fields[7] ?? "without a name"}`);
  return [...tcp, ...unix];
}

function sharedMemory(init: number): readonly string[] {
  return ["shm", "sem", "msg"].flatMap((name) => {
    const lines = read(`/proc/${init}/sysvipc/${name}`)
      .split("\n")
      .slice(1)
      .filter((line) => line !== "");
    return lines.map((line) => `${name} ${line}`);
  });
}

function walk(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
      ? [path, ...walk(path)]
      : [path];
  });
}

function fieldsOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function stateOf(pid: number): string | undefined {
  return fieldsOf(pid)[0];
}

function parentOf(pid: number): number {
  return Number(fieldsOf(pid)[1] ?? 0);
}

function argumentsOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim().slice(0, 150);
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)];
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
