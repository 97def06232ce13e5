/**
 * Would `bottle attack` notice? Defences are switched off in a copy of the tree, which is built, and the probes that stand
 * for them have to fail. Those that have nothing to do with each other go together: a run of real bottles takes a while.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import * as z from "zod";
import { startPrivateHost } from "../support/private-host.ts";
import type { BreachGroup } from "./breaches/breach.ts";
import { JAIL } from "./breaches/jail.ts";
import { OPERATOR } from "./breaches/operator.ts";
import { SIDECARS } from "./breaches/sidecars.ts";
import { NETWORK, WITHOUT_JAIL } from "./breaches/without-jail.ts";
import type { Workspace } from "./workspace.ts";

export const BREACHES: readonly BreachGroup[] = [
  { name: "sidecars", breaches: SIDECARS },
  { name: "jail", breaches: JAIL },
  ...NETWORK,
  { name: "operator", breaches: OPERATOR },
  ...WITHOUT_JAIL,
];

const reportSchema = z.object({
  reports: z.array(
    z.object({
      problems: z.array(z.string()),
      results: z.array(z.object({ id: z.string(), outcome: z.string(), held: z.boolean() })),
    }),
  ),
});

/**
 * Builds the copy as it is now, and runs `probes` in bottles of it, on a host of their own: what a broken one leaves goes with
 * it. @returns what came of each that failed, empty for one that held or that was not run; or why there is none.
 */
export async function attackIn(
  workspace: Workspace,
  probes: readonly string[],
): Promise<ReadonlyMap<string, string> | string> {
  const built = await said(workspace, [process.execPath, join(workspace.root, "scripts/build.mjs")]);
  if (built.code !== 0) return `it cannot be built: ${built.text.slice(-500)}`;
  const only = probes.flatMap((id) => ["--only", id]);
  const bottle = [process.execPath, join(workspace.root, "dist/bottle.js")];
  const host = await startPrivateHost();
  let text: string;
  try {
    ({ text } = await said(workspace, [
      ...[...host.words(workspace.root), ...bottle, "attack", "--backend", "namespace", "--json"],
      ...only,
    ]));
  } finally {
    await host.close();
  }
  const start = text.indexOf("{");
  if (start < 0) return `it said nothing: ${text.slice(-500)}`;
  const [report] = reportSchema.parse(JSON.parse(text.slice(start))).reports;
  if (report === undefined || report.results.length === 0)
    return report?.problems.join("; ") ?? "there is no report";
  return new Map(
    report.results.map(({ id, outcome, held }) => [id, held || outcome === "not-run" ? "" : outcome]),
  );
}

function said(
  workspace: Workspace,
  [program = "", ...args]: readonly string[],
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    // Not where the tree itself is: a guest that may, writes there.
    const env = { ...process.env, TMPDIR: "/var/tmp" };
    const child = spawn(program, args, { cwd: workspace.root, env, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString("utf8");
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text: stdout === "" ? stderr : stdout }));
  });
}
