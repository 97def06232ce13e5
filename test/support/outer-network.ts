/**
 * An outer world for isolation tests: a network namespace with no way out, in which impostors may own any address,
 * and a mount namespace in which any of the host's files can be hidden or made up. What runs there is a program of
 * the tests' own, and bottles that it starts. Root makes it as root; an ordinary user becomes root of a user namespace
 * first, in which he remains who he is to everybody else.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagePath } from "../../src/lib/package-root.ts";

export interface OuterOptions {
  /** Program files of the host (absolute) that are there and cannot be run. */
  readonly hide?: readonly string[];
  /** Given to the program as JSON. */
  readonly input?: unknown;
  /** Descriptors the program inherits without close-on-exec, from number 40 on. */
  readonly leak?: readonly number[];
  /** A shell text that makes the host a different one. Sees `$NODE` and `$PACKAGE`; `$wrap` runs the program. */
  readonly prepare?: string;
  /** Runs the program instead of this very node. */
  readonly node?: string;
  /** For root: be root of a container that has so many uids, which outside begin with `first`. */
  readonly container?: { readonly first: number; readonly count: number };
  readonly umask?: number;
  /** Default: less than a test's hook may take. */
  readonly timeoutMs?: number;
}

/** An address in use nowhere else here, by the address of an impostor. */
export const IMPOSTORS = {
  resolver: "1.1.1.1",
  otherResolver: "8.8.8.8",
  metadata: "169.254.169.254",
  lan: "10.11.12.13",
  gateway: "10.0.0.1",
  docker: "172.17.0.1",
  sixth: "2606:4700:4700::1111",
} as const;

const SET_UP = `set -eu
ip link set lo up
${Object.values(IMPOSTORS)
  .map((address) => `ip addr add ${address}/${address.includes(":") ? 128 : 32} dev lo 2>/dev/null || :`)
  .join("\n")}
umask "$1"
wrap=
eval "$2"
hidden=$3
shift 3
while [ "$hidden" -gt 0 ]; do mount -n --bind /dev/null "$1"; shift; hidden=$((hidden - 1)); done
exec $wrap "$@"
`;

/** As root of the host: makes a user namespace as container engines do, whose root is nobody in particular outside. */
const CONTAINER = `set -eu
first=$1 count=$2 gate=$3
shift 3
mkfifo "$gate"
unshare --user --keep-caps -- sh -c 'read -r go <"$0"; exec setpriv --reuid 0 --regid 0 --clear-groups -- "$@"' "$gate" "$@" &
while [ "$(readlink /proc/$!/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
echo "0 $first $count" >/proc/$!/uid_map
echo "0 $first $count" >/proc/$!/gid_map
echo go >"$gate"
wait $!
`;

/** Words that run what follows in the outer world. */
function outerWords(options: OuterOptions, folder: string): readonly [string, ...string[]] {
  const { hide = [], prepare = "", container, umask = 0o022 } = options;
  const alone = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const world = [
    ...["unshare", ...alone, "--mount", "--propagation", "private", "--net", "--"],
    ...["sh", "-c", SET_UP, "outer", umask.toString(8), prepare, String(hide.length), ...hide],
  ];
  if (container === undefined) return world as [string, ...string[]];
  const { first, count } = container;
  return ["sh", "-c", CONTAINER, "container", String(first), String(count), join(folder, "gate"), ...world];
}

/**
 * Runs a TypeScript program of the tests' in the outer world; `report` of this module gives back its result.
 * @throws Error with what it wrote when it reports nothing.
 */
export async function runOutside<T>(program: string, options: OuterOptions = {}): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "bbo-"));
  const result = join(folder, "result.json");
  // Whoever it is out there, it may write its result.
  chmodSync(folder, 0o777);
  const { node = process.execPath, input = null } = options;
  const argv: readonly [string, ...string[]] = [
    ...outerWords(options, folder),
    ...[node, "--import", "tsx", program, result, JSON.stringify(input)],
  ];
  try {
    const said = await start(argv, options.leak ?? [], options.timeoutMs);
    try {
      return JSON.parse(readFileSync(result, "utf8")) as T;
    } catch {
      throw new Error(`${program} reported nothing: ${said}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In the program: file for its result, and its input. */
export function outerArguments<I>(): { readonly resultFile: string; readonly input: I } {
  const [resultFile = "", input = "null"] = process.argv.slice(2);
  return { resultFile, input: JSON.parse(input) as I };
}

/** Less than a test's hook may take; nothing is left of a program that hangs. */
const TIMEOUT_MS = 50_000;
/** Unused numbers below, so that Node's own marking of what it inherits ends before them. */
const FIRST_LEAKED = 40;

function start(
  argv: readonly [string, ...string[]],
  leak: readonly number[],
  timeout = TIMEOUT_MS,
): Promise<string> {
  const [command, ...args] = argv;
  const gap = Array.from({ length: FIRST_LEAKED - 3 }, () => "ignore" as const);
  const child: ChildProcess = spawn(command, args, {
    cwd: packagePath(),
    env: { ...process.env, NODE: process.execPath, PACKAGE: packagePath() },
    timeout,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe", ...(leak.length > 0 ? [...gap, ...leak] : [])],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-20_000);
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve(said));
  });
}

/** Where `name` is, or undefined. */
export function programFile(name: string): string | undefined {
  return ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    .map((folder) => `${folder}/${name}`)
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
