/**
 * `smolvm pack create`, which takes minutes and boots a machine of its own for that. It ends with whoever wanted it,
 * however that one ends (I9), and with it whatever it started: that has this state folder in its environment.
 */
import { ChildProcess } from "node:child_process";
import { basename, join } from "node:path";
import { coverInherited } from "../../jail/inherited-fds.ts";
import { run } from "../../lib/processes.ts";
import { createScope } from "../../lib/scope.ts";
import { tethered } from "../../lib/tethered.ts";
import { packCommand } from "./commands.ts";
import { killMachine } from "./machine-processes.ts";
import { environmentIn, MAX_OUTPUT_BYTES, must, type Smolvm } from "./smolvm.ts";
import { makeStateFolder } from "./state-folder.ts";

/** A large image over a slow line. */
export const PACK_TIMEOUT_MS = 45 * 60_000;
/** In the folder given to {@link pack}. */
const OUTPUT = "image";

export interface PackRequest {
  readonly smolvm: Smolvm;
  /** Of an image in a registry. */
  readonly reference: string;
  /** A folder for it alone. */
  readonly work: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** @returns the `.smolmachine` in `work`. @throws UserError with smolvm's words; the signal's reason. */
export async function pack(request: PackRequest): Promise<string> {
  const { smolvm, reference, work, signal, timeoutMs = PACK_TIMEOUT_MS } = request;
  signal?.throwIfAborted();
  const output = join(work, OUTPUT);
  const scope = createScope();
  try {
    const folder = await makeStateFolder(work, scope);
    const { short } = folder;
    // Whose environment nobody may read but root: a machine's is so.
    scope.defer("the machine of a packing", () => killMachine({ name: basename(short), folder }));
    const env = environmentIn(short, smolvm.traits);
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const command = ["env", "-i", ...words, smolvm.path, ...packCommand(reference, output)];
    const mark = `XDG_DATA_HOME=${env["XDG_DATA_HOME"]}`;
    const letGo = new AbortController();
    const onAbort = (): void => letGo.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const packing = run(tethered(command, { pipe: 3, mark }), {
      cwd: "/",
      env: { PATH: env["PATH"] },
      start: (stdio, spawning) =>
        coverInherited([...stdio, "pipe" as const], (all) => heldBy(letGo, spawning(all))),
      timeoutMs,
      maxOutputBytes: MAX_OUTPUT_BYTES,
    });
    try {
      await must("pack the image", smolvm, packing);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  } finally {
    await scope.close();
  }
  // `output` itself is a launcher; the image is beside it.
  return `${output}.smolmachine`;
}

/** Lets go of its pipe when it is told to, and once the shell has ended: when that was killed at its time-out too. */
function heldBy<T>(letGo: AbortController, child: T): T {
  if (!(child instanceof ChildProcess)) return child;
  const pipe = child.stdio[3];
  pipe?.on("error", () => {});
  letGo.signal.addEventListener("abort", () => pipe?.destroy(), { once: true });
  child.once("exit", () => letGo.abort());
  return child;
}
