/** `bottle attack` of this tree, run where its leftovers are seen; and what every backend's attack is held to. */
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { GROUPS, INVARIANTS } from "../../src/attack/probe.ts";
import { PROBES } from "../../src/attack/probes/all.ts";
import type { BackendName } from "../../src/contract/isolation.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { BOTTLE, runProgram } from "./real-bottle.ts";

/** An emulated machine takes its time, and so does gVisor; namespaces take a minute. */
export const ATTACK_MS = (process.env["SOAK"] === undefined ? 25 : 50) * 60_000;

const resultSchema = z.strictObject({
  id: z.string(),
  invariant: z.enum(INVARIANTS),
  group: z.enum(GROUPS),
  tries: z.string().min(1),
  expected: z.string().min(1),
  seen: z.string().min(1),
  seconds: z.number().min(0),
  refusalSeconds: z.number().min(0).nullable(),
  control: z.string().min(1),
  held: z.boolean(),
  outcome: z.enum(["held", "stated", "escaped", "slow", "unexplained", "no-control", "not-run"]),
  why: z.string().min(1).optional(),
});
const outputSchema = z.strictObject({
  holds: z.boolean(),
  reports: z.array(
    z.strictObject({
      backend: z.string(),
      capabilities: z.record(z.string(), z.boolean()),
      results: z.array(resultSchema),
      probes: z.number(),
      problems: z.array(z.string()),
      seconds: z.number(),
      holds: z.boolean(),
    }),
  ),
});

type Env = Readonly<Record<string, string>>;

export interface AttackSite {
  /** Where runs have their folders: what is left of one is seen, and nobody else's. */
  readonly folder: string;
  readonly env: Env;
  run(args: readonly string[], more?: Env): ReturnType<typeof runProgram>;
  remove(): Promise<void>;
}

export function attackSite(): AttackSite {
  const folder = mkdtempSync(join(tmpdir(), "bbt-"));
  const env = {
    ...Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? ""])),
    TMPDIR: folder,
  };
  return {
    folder,
    env,
    run: (args, more = {}) =>
      runProgram([process.execPath, BOTTLE, ...args], { env: { ...env, ...more }, timeoutMs: ATTACK_MS }),
    remove: () => removeTree(folder),
  };
}

/** What `bottle attack --json` said, or its complaint. */
export function reported({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }) {
  return outputSchema.parse(JSON.parse(stdout === "" ? `{"stderr":${JSON.stringify(stderr)}}` : stdout));
}

export interface Stated {
  /** What succeeds in a guest, because its backend has not what would refuse it; the report has the reason. */
  readonly ofBackend: readonly string[];
  /** What some machine cannot do outside of a bottle either. */
  readonly ofMachine: readonly string[];
}

export const NO_SUCH_CODE = [
  ...["protocol-bluetooth", "protocol-crypto-socket", "protocol-sctp", "file-sysrq"],
  ...["protocol-dccp-socket", "protocol-l2tp-socket", "protocol-sctp-socket"],
];
export const NOT_EVEN_ROOT = ["kernel-kexec", "kernel-module", "kernel-module-file"];

export interface AttackTried {
  readonly backend: BackendName;
  /** Below it. */
  readonly on?: string;
  readonly lack: string | undefined;
  /** Probes that get through on what stands in for the real thing here, which has what they miss. */
  readonly lacking?: readonly string[];
  /** Where everything is there that a host can give. */
  readonly stated?: Stated;
  start(): Promise<{ readonly env: Env; close(): Promise<void> }>;
}

/** Without one of these a bottle lacks more. */
const WHOLE = ["hostRoot", "memoryLimit", "processLimit"];

/** A bottle of it holds every probe. */
export function describeAttack(tried: AttackTried): void {
  const { backend, on, lack, lacking = [], start } = tried;
  const name = [backend, on].filter((word) => word !== undefined).join(" on ");
  describe(`a bottle of ${name}`, () => {
    if (lack !== undefined) {
      console.warn(`SKIPPED: bottle attack on ${name}: ${lack}`);
      it.skip(`holds every probe (${lack})`);
      return;
    }
    const site = attackSite();
    let world: Awaited<ReturnType<AttackTried["start"]>>;
    beforeAll(async () => {
      world = await start();
    }, 300_000);
    afterAll(async () => {
      await world?.close();
      await site.remove();
    }, 60_000);

    it(
      "holds every probe, each with a control that succeeds or is stated not to",
      async () => {
        const run = await site.run(["attack", "--backend", backend, "--json"], world.env);
        const { reports } = reported(run);
        expect(reports).toHaveLength(1);
        const [report] = reports;
        expect(report?.problems).toEqual([]);
        expect(report?.results.flatMap(({ id, held }) => (held ? [] : [id]))).toEqual(lacking);
        expect(report?.results.map(({ id }) => id).sort()).toEqual(PROBES.map(({ id }) => id).sort());
        for (const { outcome, control, why, id } of report?.results ?? []) {
          if (outcome === "stated") expect(why, id).toMatch(/ /);
          else expect(control, id).toMatch(/^succeeded: /);
        }
        // What is only stated is told apart: what a backend, and what this machine has not.
        const stated = report?.results.filter(
          ({ outcome, why }) =>
            outcome === "stated" && why?.includes("a processor that is emulated") !== true,
        );
        const [ofMachine = [], ofBackend = []] = [false, true].map((getsThroughOutside) =>
          stated
            ?.filter(({ control }) => control.startsWith("succeeded: ") === getsThroughOutside)
            .map(({ id }) => id)
            .sort(),
        );
        const isWhole =
          WHOLE.every((each) => report?.capabilities[each]) &&
          (report?.capabilities["syscallFilter"] || report?.capabilities["sharedKernel"] === false);
        if (tried.stated === undefined || !isWhole) expect(stated?.length).toBeLessThan(PROBES.length / 4);
        else {
          expect(ofMachine.filter((id) => !tried.stated?.ofMachine.includes(id))).toEqual([]);
          if (report?.capabilities["nativeProcessor"]) expect(ofBackend).toEqual(tried.stated?.ofBackend);
          else expect(ofBackend.filter((id) => !tried.stated?.ofBackend.includes(id))).toEqual([]);
        }
        expect(run.code).toBe(lacking.length === 0 ? 0 : 3);
        expect(readdirSync(site.folder)).toEqual([]);
      },
      ATTACK_MS,
    );
  });
}
