/** `bottle attack` for one backend: makes the world around it, hears what comes of each probe, and leaves nothing behind. */
import { spawn } from "node:child_process";
import type { BackendName } from "../contract/isolation.ts";
import { UserError } from "../lib/errors.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { packagePath } from "../lib/package-root.ts";
import { exited } from "../lib/processes.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { SITES } from "./capabilities.ts";
import type { Outcome } from "./judge.ts";
import type { Capabilities } from "./probe.ts";
import { probesFor } from "./probes/all.ts";
import type { ProbeResult } from "./runner.ts";
import { outerWorld } from "./world/outer.ts";
import { kitIsBuilt, makeRoot } from "./world/world.ts";
import type { WorldOrder } from "./world-process.ts";

/** All of it, where guests are emulated machines on a busy host: five groups of twelve took 16. It takes one where they are not. */
const TIMEOUT_MS = 45 * 60_000;
/** To end two bottles and their upstreams. */
const GRACE_MS = 90_000;
const COMPLAINT_CHARACTERS = 2_000;

export interface AttackOptions {
  readonly backend: BackendName;
  /** Ids, groups or invariants; none: everything. */
  readonly only: readonly string[];
  readonly onProgress?: (text: string) => void;
  readonly onResult?: (result: ProbeResult) => void;
  readonly signal?: AbortSignal;
}

export interface AttackReport {
  readonly backend: BackendName;
  readonly capabilities: Capabilities | null;
  readonly results: readonly ProbeResult[];
  /** How many there were to be. */
  readonly probes: number;
  /** What kept the run itself from its end. */
  readonly problems: readonly string[];
  readonly seconds: number;
  /** Every probe ran and held, and nothing went wrong besides. */
  readonly holds: boolean;
}

/** How many came to what: one that is only stated is not said to have held. */
export function countsOf(results: readonly Pick<ProbeResult, "outcome" | "held">[]): string {
  const count = (outcome: Outcome): number => results.filter((result) => result.outcome === outcome).length;
  const failed = results.filter(({ held }) => !held).length;
  return `${count("held")} held, ${count("stated")} as stated, ${failed} failed`;
}

/** @throws UserError for an `only` that names nothing, or a host on which it cannot run. */
export async function attack(options: AttackOptions): Promise<AttackReport> {
  const { backend, only } = options;
  const { probes } = probesFor(only);
  if (!kitIsBuilt())
    throw new UserError("the probes' programs are not built", {
      hint: "npm run build, or install the package again",
    });
  await SITES[backend].fetch?.(options.onProgress ?? (() => {}), options.signal);
  const from = performance.now();
  const outer = SITES[backend].inOuterNetwork ? await outerWorld() : undefined;
  const root = makeRoot();
  const results: ProbeResult[] = [];
  const problems: string[] = [];
  let capabilities: Capabilities | null = null;
  try {
    const program = [process.execPath, packagePath("dist/bottle.js"), "attack-world"];
    const words = outer === undefined ? program : outer.words(`${root}/made`, program);
    const [command = "", ...args] = words;
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
    child.stdin.on("error", () => {});
    let complaint = "";
    child.on("error", (error) => {
      complaint = error.message;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      complaint = (complaint + chunk.toString("utf8")).slice(-COMPLAINT_CHARACTERS);
    });
    const giveUp = (): void => {
      child.stdin.end();
      setTimeout(() => child.kill("SIGKILL"), GRACE_MS).unref();
    };
    const timer = setTimeout(() => {
      problems.push(`it did not end within ${TIMEOUT_MS / 60_000} minutes`);
      giveUp();
    }, TIMEOUT_MS);
    const interrupted = (): void => {
      problems.push("it was interrupted");
      giveUp();
    };
    options.signal?.addEventListener("abort", interrupted);
    const order: WorldOrder = {
      backend,
      root,
      outer: outer !== undefined,
      hostRoot: process.getuid?.() === 0,
      planted: [...(outer?.planted ?? [])],
      only: [...only],
    };
    await writeJsonLine(child.stdin, order);
    // Before there was anybody to hear of it.
    if (options.signal?.aborted === true) interrupted();
    let isDone = false;
    for await (const line of readJsonLines(child.stdout)) {
      // Our own process's word.
      const said = line as {
        capabilities?: Capabilities;
        progress?: string;
        result?: ProbeResult;
        failed?: string;
        done?: true;
      };
      if (said.capabilities !== undefined) capabilities = said.capabilities;
      if (said.progress !== undefined) options.onProgress?.(said.progress);
      if (said.result !== undefined) {
        results.push(said.result);
        options.onResult?.(said.result);
      }
      if (said.failed !== undefined) problems.push(said.failed);
      if (said.done === true) isDone = true;
    }
    clearTimeout(timer);
    await exited(child);
    if (!isDone && problems.length === 0)
      problems.push(
        `the run ended (${child.signalCode ?? `exit ${child.exitCode}`}) before it was done: ${complaint.trim()}`,
      );
  } finally {
    await removeTree(root);
  }
  const missing = probes.filter(({ id }) => !results.some((result) => result.id === id)).map(({ id }) => id);
  if (missing.length > 0 && options.signal?.aborted !== true)
    problems.push(`not tried: ${missing.join(", ")}`);
  return {
    backend,
    capabilities,
    results,
    probes: probes.length,
    problems,
    seconds: Math.round((performance.now() - from) / 100) / 10,
    holds: problems.length === 0 && results.every(({ held }) => held),
  };
}
