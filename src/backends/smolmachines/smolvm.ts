/**
 * Calling `smolvm`. Its environment is made here and holds nothing of the operator's but what it needs (I2); its state
 * is a folder of the bottle's own, so that its database, its disks and whatever it leaves go with the bottle.
 */
import { join } from "node:path";
import { coverInherited } from "../../jail/inherited-fds.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { type RunResult, run } from "../../lib/processes.ts";
import { versionCommand, type Words } from "./commands.ts";
import { parseVersion, type SmolvmVersion, type Traits, traitsOf, versionText } from "./versions.ts";

/** Of a command that only looks something up. */
const QUICK_TIMEOUT_MS = 10_000;
/** Of one that boots a machine, stops it or copies into it, on a host that is busy. */
export const SLOW_TIMEOUT_MS = 120_000;
/** What it says is an error's line, or a list of machines. */
export const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const SHOWN_CHARACTERS = 400;

export interface Smolvm {
  /** Of the program. */
  readonly path: string;
  readonly version: SmolvmVersion;
  readonly text: string;
  readonly traits: Traits;
}

/** Undefined when what is there does not say which release it is. */
export async function readSmolvm(path: string): Promise<Smolvm | undefined> {
  const { code, stdout } = await run([path, ...versionCommand], {
    env: baseEnvironment(),
    timeoutMs: QUICK_TIMEOUT_MS,
    maxOutputBytes: MAX_OUTPUT_BYTES,
  });
  const version = code === 0 ? parseVersion(stdout.toString("utf8")) : undefined;
  return version && { path, version, text: versionText(version), traits: traitsOf(version) };
}

function baseEnvironment(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8" };
}

/**
 * @param folder its state: database, disks, sockets. Short, because sockets lie deep in it.
 * HOME too, where releases for macOS put what they should put elsewhere.
 */
export function environmentIn(folder: string, traits: Traits): Record<string, string> {
  return {
    ...baseEnvironment(),
    HOME: folder,
    XDG_DATA_HOME: join(folder, "data"),
    XDG_CACHE_HOME: join(folder, "cache"),
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_RUNTIME_DIR: join(folder, "run"),
    // The guest and its VMM are one to an attacker: what the VMM may do is what counts.
    ...(traits.confines && { SMOLVM_LANDLOCK: "enforce", SMOLVM_SECCOMP: "enforce" }),
  };
}

/** What is called before smolvm's own words: to enter a network, for instance. */
export interface CallOptions {
  readonly before?: Words;
  /** Default: what a command that only looks something up may take. */
  readonly timeoutMs?: number;
}

export type Call = (words: Words, options?: CallOptions) => Promise<RunResult>;

/** Calls it with its state in `folder`, whatever comes of it. */
export function callerIn(smolvm: Smolvm, folder: string): Call {
  const env = environmentIn(folder, smolvm.traits);
  return (words, { before = [], timeoutMs = QUICK_TIMEOUT_MS } = {}) =>
    run([...before, smolvm.path, ...words] as unknown as [string, ...string[]], {
      cwd: "/",
      env,
      // A machine's process lives on with whatever it inherits, and its guest is as good as that process.
      start: (stdio, spawning) => coverInherited(stdio, spawning),
      timeoutMs,
      maxOutputBytes: MAX_OUTPUT_BYTES,
    });
}

/** @throws UserError with smolvm's own words unless it ended well. */
export async function must(what: string, smolvm: Smolvm, result: Promise<RunResult>): Promise<string> {
  const { code, signal, stdout, stderr } = await result;
  if (code === 0) return stdout.toString("utf8");
  const said = printable(stderr.trim().replace(/^Error: /, ""), SHOWN_CHARACTERS);
  throw new UserError(
    `smolvm ${smolvm.text} could not ${what}: ${said || `it ended with ${signal ?? `exit ${code}`}`}`,
    { hint: "bottle doctor" },
  );
}
