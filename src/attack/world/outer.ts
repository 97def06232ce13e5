/**
 * The world around the bottles: a network namespace without a way out, in which impostors may own any address, and a
 * mount namespace in which folders of the host can be made up. Whatever leaks there meets nobody. Root makes it as
 * root; an ordinary user becomes root of a user namespace first, in which he remains who he is to everybody else.
 */
import { existsSync, realpathSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { packagePath } from "../../lib/package-root.ts";
import { cacheOf } from "../../lib/paths.ts";
import { run } from "../../lib/processes.ts";
import { hostAddresses, IMPOSTORS } from "./impostors.ts";

/** Where operators and services have their things: each is one of our own there, with a file that should stay theirs. */
const FOLDERS = [
  "/root",
  "/home",
  "/mnt",
  "/media",
  "/srv",
  "/opt",
  "/boot",
  "/var/lib",
  "/var/backups",
  "/run/lock",
];
/** Below a folder that guests have, read-only. */
export const SYSTEM_FOLDER = "/usr/src";
export const PLANTED_FILE = "planted-by-bottle-attack";
const TRIAL_TIMEOUT_MS = 10_000;

/** Arguments: folder of made-up files; numbers of addresses, of folders; those; the program… */
const SET_UP = `set -eu
made=$1 addresses=$2 folders=$3
shift 3
ip link set lo up
while [ "$addresses" -gt 0 ]; do
  case $1 in *:*) bits=128 ;; *) bits=32 ;; esac
  ip addr add "$1/$bits" dev lo 2>/dev/null || :
  shift; addresses=$((addresses - 1))
done
ip route add 224.0.0.0/4 dev lo 2>/dev/null || :
while [ "$folders" -gt 0 ]; do
  mount -n -t tmpfs -o mode=755,size=4m tmpfs "$1"
  echo "what only the operator may know" >"$1/${PLANTED_FILE}"
  shift; folders=$((folders - 1))
done
for file in resolv.conf shadow hosts; do
  [ -e "/etc/$file" ] && mount -n --bind "$made/$file" "/etc/$file"
done
exec "$@"
`;

export interface Outer {
  /** Folders in which there is a planted file. */
  readonly planted: readonly string[];
  readonly words: (made: string, program: readonly string[]) => readonly string[];
}

/** Whether there can be one here: by trying. */
export async function outerWorld(): Promise<Outer | undefined> {
  if (process.platform !== "linux") return undefined;
  const alone = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const make = ["unshare", ...alone, "--mount", "--propagation", "private", "--net", "--"];
  const [command = "", ...args] = [...make, "sh", "-c", "ip link set lo up && mount -n -t tmpfs tmpfs /mnt"];
  try {
    if ((await run([command, ...args], { timeoutMs: TRIAL_TIMEOUT_MS })).code !== 0) return undefined;
  } catch {
    return undefined;
  }
  const planted = plantable();
  // What is in use here, beside it the impostors'.
  const addresses = [...new Set([...Object.values(IMPOSTORS), ...hostAddresses()])].filter(
    (address) => address !== IMPOSTORS.MULTICAST,
  );
  return {
    planted,
    words: (made, program) => [
      ...make,
      ...["sh", "-c", SET_UP, "outer", made, String(addresses.length), String(planted.length)],
      ...addresses,
      ...planted,
      ...program,
    ],
  };
}

/** Nothing that we run from or write to may vanish under one of ours. */
function plantable(): readonly string[] {
  const inUse = [
    process.execPath,
    packagePath(),
    packagePath("node_modules"),
    tmpdir(),
    homedir(),
    cacheOf(),
    process.cwd(),
  ]
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path));
  return [...FOLDERS, SYSTEM_FOLDER].filter(
    (folder) =>
      existsSync(folder) &&
      realpathSync(folder) === folder &&
      !inUse.some((path) => path === folder || path.startsWith(`${folder}/`)),
  );
}
