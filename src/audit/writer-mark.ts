/**
 * One writer a log. Node has no file lock, so a writer puts an empty file beside the log whose *name* says
 * which process it is, and only then looks for others. Of two, the later always sees the earlier; when both
 * see each other, both withdraw and try again. A mark whose process is gone means nothing, and since a name
 * is never used twice, removing a dead one can never remove a living one.
 */
import { randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../lib/errors.ts";
import { namesIn } from "../lib/on-disk.ts";
import { isProcessAlive, ownProcessStart } from "../lib/process-start.ts";

/** `.<bottle>.<pid>.<birth>.<random>.writer`; no part but the separators has a dot. */
const MARK = /^\.([a-z0-9-]+)\.([1-9][0-9]{0,9})\.([0-9a-f-]+)\.[0-9a-f]{12}\.writer$/;

/** Tries against somebody who is trying too; a writer that stays is refused after the last. */
const ATTEMPTS = 4;
const MAX_PAUSE_MS = 40;

/**
 * Claims the right to write `bottle`'s log; the function returned gives it back.
 * @throws UserError while another process (or this one) holds it.
 */
export async function claimWriting(auditDir: string, bottle: string): Promise<() => Promise<void>> {
  await sweepWriterMarks(auditDir);
  for (let attempt = 1; ; attempt++) {
    const birth = await ownProcessStart();
    const name = `.${bottle}.${process.pid}.${birth}.${randomBytes(6).toString("hex")}.writer`;
    const path = join(auditDir, name);
    await (await open(path, "wx", 0o600)).close();
    const others = (await livingMarks(auditDir, bottle)).filter((mark) => mark.name !== name);
    const [other] = others;
    if (other === undefined) return () => rm(path, { force: true });
    await rm(path, { force: true });
    if (attempt === ATTEMPTS) {
      throw new UserError(`the audit log of ${bottle} is being written by process ${other.pid}`, {
        hint: `the bottle is running: bottle attach ${bottle}, or bottle stop ${bottle}`,
      });
    }
    await sleep(Math.random() * MAX_PAUSE_MS);
  }
}

/** Whether a living process writes `bottle`'s log. */
export async function hasWriter(auditDir: string, bottle: string): Promise<boolean> {
  return (await livingMarks(auditDir, bottle)).length > 0;
}

export interface Writer {
  readonly bottle: string;
  readonly pid: number;
  /** As `isProcessAlive` has it. */
  readonly birth: string;
}

/** Living processes that write the log of some bottle: a running one's keeper does from its launch to its end. */
export async function livingWriters(auditDir: string): Promise<readonly Writer[]> {
  const living: Writer[] = [];
  for (const { bottle, pid, birth } of await marksIn(auditDir))
    if (await isProcessAlive(pid, birth)) living.push({ bottle, pid, birth });
  return living;
}

/** Removes the marks of writers that were killed. */
export async function sweepWriterMarks(auditDir: string): Promise<void> {
  for (const mark of await marksIn(auditDir)) {
    if (!(await isProcessAlive(mark.pid, mark.birth))) await rm(join(auditDir, mark.name), { force: true });
  }
}

interface Mark extends Writer {
  readonly name: string;
}

async function livingMarks(auditDir: string, bottle: string): Promise<Mark[]> {
  const living: Mark[] = [];
  for (const mark of await marksIn(auditDir)) {
    if (mark.bottle === bottle && (await isProcessAlive(mark.pid, mark.birth))) living.push(mark);
  }
  return living;
}

async function marksIn(auditDir: string): Promise<Mark[]> {
  return (await namesIn(auditDir)).flatMap((name) => {
    const [, bottle, pid, birth] = MARK.exec(name) ?? [];
    if (bottle === undefined || pid === undefined || birth === undefined) return [];
    return [{ name, bottle, pid: Number(pid), birth }];
  });
}
