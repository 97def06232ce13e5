/**
 * Appends to logs on the small disk named by argv[2] until it is full, then grows that disk: for one that waits for room,
 * and for one that has given up. Prints what happened as one line of JSON. Runs in a mount namespace of its own.
 */
import { readFileSync, statfsSync } from "node:fs";
import { type AuditLog, openLog } from "../../../../src/audit/log.ts";
import { verifyLog } from "../../../../src/audit/verify.ts";
import { homeOf } from "../../../../src/lib/paths.ts";
import { runOk } from "../../../../src/lib/processes.ts";

const disk = process.argv[2] ?? "";
const home = homeOf({ BOT_BOTTLE_HOME: disk });
const bottle = "agent-abc12";
/** So that a signed head is among the lines that wait. */
const MORE_THAN_A_HEAD = 100;

const told = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => String(error),
  );
// The options that the kernel shows name uids of outside this namespace, and must not be given back to it.
const remount = async (options: string): Promise<void> => {
  await runOk(["mount", "--options-mode", "ignore", "-t", "tmpfs", "-o", `remount,${options}`, "none", disk]);
};

/** Also the last page: what is refused in the end is a line as short as there is. */
async function fill(log: AuditLog): Promise<{ readonly acknowledged: number; readonly failure: string }> {
  let acknowledged = 0;
  for (const data of [{ text: "x".repeat(1000) }, {}]) {
    for (;;) {
      const outcome = await told(log.append("test.happened", data));
      if (outcome === "resolved") acknowledged++;
      else if (Object.keys(data).length === 0) return { acknowledged, failure: outcome };
      else break;
      if (acknowledged > 100_000) throw new Error("the disk never fills");
    }
    await told(log.retry());
  }
  throw new Error("the disk did not fill");
}

const lacks: string[] = [];
const log = await openLog({ home, bottle, onLack: (lack) => lacks.push(String(lack)) });
const { acknowledged, failure } = await fill(log);
const freeBlocks = statfsSync(disk).bfree;
const whole = (await verifyLog(log.path)).problems.map(({ code }) => code);
const waiting = Array.from({ length: MORE_THAN_A_HEAD }, (_, i) => told(log.happened("test.waited", { i })));
const stillFull = [await told(log.append("test.refused", {})), await told(log.retry())];
await remount("size=2m");
const beforeRetry = await told(log.append("test.refused", {}));
const retried = await told(log.retry());
const waited = await Promise.all(waiting);
await log.append("test.went-on", {});
await log.close();
const patient = await verifyLog(log.path);
const events = readFileSync(log.path, "utf8").match(/"event":"test\.[a-z-]+"/g) ?? [];

await remount("size=256k");
const other = await openLog({ home, bottle: "other-abc12" });
await fill(other);
const head = other.head;
const lost = told(other.happened("test.lost", {}));
const closed = [await told(other.close()), await lost];
await remount("size=2m");
const resumed = await openLog({ home, bottle: "other-abc12" });
await resumed.append("test.happened", {});
await resumed.close();
const report = await verifyLog(other.path, { knownHead: head?.hash ?? "" });

await remount("ro");
const readOnly = await told(openLog({ home, bottle }));

console.log(
  JSON.stringify({
    acknowledged,
    failure,
    lacks: lacks.length,
    freeBlocks,
    whole,
    stillFull,
    beforeRetry,
    retried,
    waited: [...new Set(waited)],
    patient: { verdict: patient.verdict, unclosed: patient.unclosed.length },
    events: Object.fromEntries(
      [...new Set(events)].map((name) => [name, events.filter((each) => each === name).length]),
    ),
    lastEvent: events.at(-1),
    closed,
    resumed: { verdict: report.verdict, unclosed: report.unclosed.length },
    readOnly,
  }),
);
