/**
 * Writes into smolvm's database the policy that it was given and forgot (hole A.7.2). Only for the releases of which
 * that is known to work, only while the machine is stopped, and only when the row is just what such a release leaves:
 * else nothing is touched. The database is the bottle's own. Whether it helped is for the guest to show.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { run } from "../../lib/processes.ts";

const TIMEOUT_MS = 10_000;
/** On Linux; on macOS. */
const PLACES = ["data/smolvm/server/smolvm.db", "Library/Application Support/smolvm/server/smolvm.db"];

/** What is looked at; all else stays as it is. */
const rowSchema = z.looseObject({
  name: z.string(),
  network: z.literal(true),
  allowed_cidrs: z.null(),
});

/** In the form in which smolvm writes it. */
const NO_POLICY = '"allowed_cidrs":null';

export type Correction = { readonly done: true } | { readonly done: false; readonly reason: string };

/** @param folder smolvm's state. */
export async function correctRecord(
  folder: string,
  machine: string,
  allow: readonly string[],
): Promise<Correction> {
  const database = PLACES.map((place) => join(folder, place)).find((path) => existsSync(path));
  if (database === undefined) return { done: false, reason: "its database was not found" };
  const ask = async (sql: string): Promise<string> => {
    const { code, stdout, stderr } = await run(["sqlite3", "-batch", "-noheader", database], {
      stdin: `.timeout 5000\n.bail on\n${sql}\n`,
      timeoutMs: TIMEOUT_MS,
    });
    if (code !== 0) throw new Error(stderr.trim() || `exit ${code}`);
    return stdout.toString("utf8").trim();
  };
  try {
    const name = quoted(machine);
    const before = await ask(`SELECT typeof(data), hex(data) FROM vms WHERE name = ${name};`);
    const [, hex] = /^blob\|([0-9A-F]+)$/.exec(before) ?? [];
    if (hex === undefined) return { done: false, reason: "its row is not of the form that is known" };
    const corrected = withPolicy(Buffer.from(hex, "hex").toString("utf8"), machine, allow);
    if (corrected === undefined)
      return { done: false, reason: "its row does not say what was expected of it" };
    // A BLOB again: as TEXT, smolvm would take the whole row for damaged.
    const after = Buffer.from(corrected).toString("hex").toUpperCase();
    const done = await ask(
      `BEGIN IMMEDIATE;
UPDATE vms SET data = x'${after}' WHERE name = ${name} AND hex(data) = '${hex}';
COMMIT;
SELECT typeof(data), hex(data) FROM vms WHERE name = ${name};`,
    );
    return done === `blob|${after}`
      ? { done: true }
      : { done: false, reason: "it was changed by somebody else meanwhile" };
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    return {
      done: false,
      reason: missing
        ? "there is no sqlite3 here to correct it with"
        : `sqlite3: ${error instanceof Error ? error.message : error}`,
    };
  }
}

/** As a text, so that all else stays to the byte; undefined when it is not just what is known. */
function withPolicy(text: string, machine: string, allow: readonly string[]): string | undefined {
  const [before, after, ...more] = text.split(NO_POLICY);
  if (before === undefined || after === undefined || more.length > 0) return undefined;
  const row = rowSchema.safeParse(jsonOf(text));
  if (!row.success || row.data.name !== machine) return undefined;
  return `${before}"allowed_cidrs":${JSON.stringify(allow)}${after}`;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
