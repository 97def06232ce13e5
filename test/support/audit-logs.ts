/** Logs for tests: real ones, made by the real writer in a folder of their own. */
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AuditLog, openLog } from "../../src/audit/log.ts";
import { type Home, homeOf } from "../../src/lib/paths.ts";

export const BOTTLE = "agent-abc12";

/** A fresh operator's home; `remove` it in afterAll. */
export function temporaryHome(): { readonly home: Home; remove(): void } {
  const root = mkdtempSync(join(tmpdir(), "bot-bottle-audit-"));
  return {
    home: homeOf({ BOT_BOTTLE_HOME: root }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Appends `count` events at once. */
export async function appendMany(log: AuditLog, count: number, text = "x"): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => log.append("test.happened", { i, text })));
}

/** Writes a whole log: opened, `events` events, closed. Returns its lines with their newlines. */
export async function writtenLog(home: Home, events: number, bottle = BOTTLE): Promise<string[]> {
  const log = await openLog({ home, bottle });
  await appendMany(log, events, `text of ${bottle}`);
  await log.close();
  return linesOf(await readFile(log.path, "utf8"));
}

export function linesOf(text: string): string[] {
  return text.split(/(?<=\n)/);
}
