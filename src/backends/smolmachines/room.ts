/**
 * A room for the VMM (Linux): a network namespace with a loopback and nothing else, in which the bundle's listeners
 * are all there is. A guest and its VMM are one to an attacker, and what the VMM can reach is what counts: whatever
 * smolvm's own filter does, there is nothing else here (I1).
 *
 * Whoever holds the room also waits for this process's end, and stops the machine then: smolvm's machines are nobody's
 * children, and no parent's death would end them (I9).
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readGreetingLine } from "../../jail/channel-greeting.ts";
import { isRoot } from "../../jail/host-uid.ts";
import { messageOf } from "../../lib/errors.ts";
import { exited, run } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";
import { LIST_BY_ARGUMENTS, type MachinePlace, placeWords } from "./machine-processes.ts";

/** Some milliseconds of work. */
const OPEN_TIMEOUT_MS = 10_000;

/** The kernel buries whoever was killed within milliseconds, unless it waits for a disk. */
const CLEAR_TIMEOUT_MS = 5_000;
const CLEAR_PAUSE_MS = 5;

/**
 * Arguments: a machine's place; what stops it. ROOM: own or host. As an ordinary user it is root of that network alone.
 * A machine that was frozen goes on, so that it can be stopped in order; one that smolvm does not stop, or has forgotten
 * because its state is gone, is killed. What was killed may just have started somebody: so they are looked for again.
 */
const HOLD = `set -eu
${LIST_BY_ARGUMENTS}
in_room() {
  all=$(ls -l /proc/[0-9]*/ns/net)
  own=$(readlink /proc/$$/ns/net)
  echo "$all" | while read -r line; do
    case $line in *" -> $own") each=\${line##* /proc/}; echo "\${each%%/*}" ;; esac
  done
}
short=$1 folder=$2 name=$3
shift 3
if [ "$ROOM" = own ]; then
  ip link set lo up
  echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start
fi
echo held
cat >/dev/null || :
signal() {
  if [ "$ROOM" = own ]; then found=$(in_room); else found=$(by_arguments "$short" "$folder" "$name"); fi
  for each in $found; do
    if [ "$each" != $$ ]; then kill "-$1" "$each"; fi
  done
}
set +e
exec >/dev/null 2>&1
signal CONT
"$@"
signal KILL
signal KILL
`;

export interface Room {
  /** Of a process that lives as long as the room does. */
  readonly pid: number;
  readonly ownUser: boolean;
  /** What a command is run by, to be in it. */
  readonly enter: readonly string[];
  /** @throws Error when the process `pid` is elsewhere, or a way leads out of here. */
  confirm(pid: number): void;
  /** Kills whoever is in here besides its holder, and waits until they are gone. */
  clear(): Promise<void>;
}

const ENTER_USER = ["--user", "--map-current-user", "--keep-caps"] as const;

let possible: Promise<boolean> | undefined;

/** Tried once. */
export function canOpenRoom(): Promise<boolean> {
  const user = isRoot() ? [] : ENTER_USER;
  possible ??= run(["unshare", ...user, "--net", "--", "ip", "link", "set", "lo", "up"], {
    timeoutMs: OPEN_TIMEOUT_MS,
  }).then(
    ({ code }) => code === 0,
    () => false,
  );
  return possible;
}

/**
 * @param stop argv that stops the machine, run once this process is gone.
 * @throws Error with the system's words.
 */
export async function openRoom(
  machine: MachinePlace,
  stop: readonly string[],
  env: Readonly<Record<string, string>>,
  scope: Scope,
): Promise<Room> {
  const ownUser = !isRoot();
  const words = [
    ...(ownUser ? ENTER_USER : []),
    "--net",
    "--",
    "sh",
    "-c",
    HOLD,
    "room",
    ...placeWords(machine),
    ...stop,
  ];
  const pid = await hold(["unshare", ...words], { ...env, ROOM: "own" }, scope);
  const network = readlinkSync(`/proc/${pid}/ns/net`);
  const namespaces = [...(ownUser ? [`--user=/proc/${pid}/ns/user`] : []), `--net=/proc/${pid}/ns/net`];
  const others = (): readonly number[] =>
    processesIn(network).filter((each) => each !== pid && !isBelow(each, pid));
  const clear = async (): Promise<void> => {
    const deadline = performance.now() + CLEAR_TIMEOUT_MS;
    for (let left = others(); left.length > 0; left = others()) {
      for (const each of left) killIfThere(each);
      if (performance.now() > deadline) throw new Error(`processes ${left.join(", ")} do not end`);
      await new Promise((resolve) => setTimeout(resolve, CLEAR_PAUSE_MS));
    }
  };
  scope.defer("what is left in the machine's network", clear);
  return {
    pid,
    ownUser,
    enter: ["nsenter", ...namespaces, "--preserve-credentials", "--"],
    confirm(other) {
      if (readlinkSync(`/proc/${other}/ns/net`) !== network)
        throw new Error(`the machine's process ${other} is not in the network that was made for it`);
      // Kernels put tunnels into every new network, which lead nowhere: what counts is where there is a way.
      const ways = waysOf(other).filter((name) => name !== "lo");
      if (ways.length > 0)
        throw new Error(`the machine's network has more than a loopback: ${ways.join(", ")}`);
    },
    clear,
  };
}

/** Where there is no room: waits for this process's end all the same. */
export async function watchOver(
  machine: MachinePlace,
  stop: readonly string[],
  env: Readonly<Record<string, string>>,
  scope: Scope,
): Promise<void> {
  await hold(["sh", "-c", HOLD, "watch", ...placeWords(machine), ...stop], { ...env, ROOM: "host" }, scope);
}

async function hold(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  scope: Scope,
): Promise<number> {
  const [command = "", ...args] = argv;
  // Detached: neither a Ctrl-C nor the end of a terminal is for it.
  const child = spawn(command, args, {
    cwd: "/",
    env: { ...env },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-1_000);
  });
  scope.defer("the machine's watch", async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      killIfThere(-child.pid);
    await exited(child);
  });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(complaint.trim() || "it ended at once")));
  });
  failed.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${OPEN_TIMEOUT_MS} ms`)), OPEN_TIMEOUT_MS);
  });
  try {
    await Promise.race([readGreetingLine(child.stdout), failed, late]);
  } catch (error) {
    throw new Error(`cannot make a network for the machine: ${complaint.trim() || messageOf(error)}`);
  } finally {
    clearTimeout(timer);
  }
  return child.pid ?? -1;
}

function processesIn(network: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === network;
      } catch {
        return false;
      }
    });
}

function isBelow(pid: number, root: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return parent === root;
  } catch {
    return false;
  }
}

/** Interfaces to which routes lead, by proc(5): the first field of IPv4's, the last one of IPv6's. */
function waysOf(pid: number): readonly string[] {
  const rows = (name: string): readonly (readonly string[])[] =>
    readFileSync(`/proc/${pid}/net/${name}`, "latin1")
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => line.trim().split(/\s+/));
  const fourth = rows("route").slice(1);
  const sixth = existsSync(`/proc/${pid}/net/ipv6_route`) ? rows("ipv6_route") : [];
  return [...fourth.map((row) => row[0] ?? ""), ...sixth.map((row) => row.at(-1) ?? "")];
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
