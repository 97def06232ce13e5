/**
 * Appends to a log on the small disk named by argv[2] until it is full, then grows that disk, and prints
 * what happened as one line of JSON. Runs in a mount namespace of its own.
 */
import { statfsSync } from "node:fs";
import { type AuditLog, openLog } from "../../../../src/audit/log.ts";
import { verifyLog } from "../../../../src/audit/verify.ts";
import { homeOf } from "../../../../src/lib/paths.ts";
import { runOk } from "../../../../src/lib/processes.ts";

const disk = process.argv[2] ?? "";
const home = homeOf({ BOT_BOTTLE_HOME: disk });
const bottle = "agent-abc12";

const told = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => String(error),
  );
// The options that the kernel shows name uids of outside this namespace, and must not be given back to it.
const remount = async (options: string): Promise<void> => {
  await runOk(["mount", "--options-mode", "ignore", "-t", "tmpfs", "-o", `remount,${options}`, "none", disk]);
};

async function fill(log: AuditLog): Promise<{ readonly acknowledged: number; readonly failure: string }> {
  for (let acknowledged = 0; ; acknowledged++) {
    const outcome = await told(log.append("test.happened", { text: "x".repeat(1000) }));
    if (outcome !== "resolved") return { acknowledged, failure: outcome };
    if (acknowledged > 100_000) throw new Error("the disk never fills");
  }
}

const log = await openLog({ home, bottle });
const { acknowledged, failure } = await fill(log);
const head = log.head;
const freeBlocks = statfsSync(disk).bfree;
await remount("size=2m");
const afterSpaceCame = await told(log.append("test.happened", {}));
const closed = await told(log.close());
const cut = await verifyLog(log.path);

const resumed = await openLog({ home, bottle });
await resumed.append("test.happened", {});
await resumed.close();
const report = await verifyLog(log.path, { knownHead: head });

await remount("ro");
const readOnly = await told(openLog({ home, bottle }));

console.log(
  JSON.stringify({
    acknowledged,
    failure,
    freeBlocks,
    afterSpaceCame,
    closed,
    cut: { verdict: cut.verdict, codes: cut.problems.map(({ code }) => code) },
    resumed: { verdict: report.verdict, unclosed: report.unclosed.length },
    readOnly,
  }),
);
