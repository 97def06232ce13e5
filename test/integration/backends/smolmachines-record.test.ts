/** What smolvm stored of a machine, corrected: only where it is just what is known, in a real database. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { correctRecord } from "../../../src/backends/smolmachines/stored-record.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { hasProgram } from "../../support/real-bottle.ts";
import { because } from "../../support/smolvm.ts";

const NAME = "bot-bottle-t-record-00000";
/** What 0.8.0 leaves of `create --from … --net --allow-cidr …`. */
const FORGOTTEN = {
  ...{ name: NAME, created_at: 1_700_000_000, cpus: 4, memory_mib: 8_192, env: [["A", "b"]] },
  ...{ network: true, allowed_cidrs: null, dns_filter_hosts: null, added_later: { "it's": 1 } },
};
/** A number that JavaScript cannot hold. */
const LARGE = '"large":18446744073709551615}';
const ALLOW = ["127.0.0.16/32"];

const lack = hasProgram("sqlite3") ? undefined : "there is no sqlite3";
if (lack !== undefined) console.warn(`SKIPPED: smolvm's stored records: ${lack}`);

describe.skipIf(lack !== undefined)(`a record of smolvm's${because(lack)}`, () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bbq-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function sql(text: string, place = "data"): Promise<string> {
    const dir = join(folder, place, "smolvm/server");
    mkdirSync(dir, { recursive: true });
    const { stdout } = await runOk(["sqlite3", "-batch", "-noheader", join(dir, "smolvm.db")], {
      stdin: text,
    });
    return stdout.toString().trim();
  }
  const TABLE = "CREATE TABLE vms (name TEXT PRIMARY KEY, data BLOB NOT NULL);";
  const blob = (row: unknown): string => `x'${Buffer.from(JSON.stringify(row)).toString("hex")}'`;
  const insert = (data: string): string => `${TABLE} INSERT INTO vms VALUES ('${NAME}', ${data});`;
  const rows = "SELECT name, typeof(data), CAST(data AS TEXT) FROM vms ORDER BY name;";

  it.each(["data", "Library/Application Support"])(
    "that forgot its policy gets it, and keeps all else, as the BLOB it was: in %s",
    async (place) => {
      const other = { ...FORGOTTEN, name: "another" };
      const texts = [FORGOTTEN, { ...FORGOTTEN, allowed_cidrs: ALLOW }].map((row) =>
        JSON.stringify(row).replace(/}$/, `,${LARGE}`),
      );
      const hex = Buffer.from(texts[0] ?? "").toString("hex");
      await sql(`${insert(`x'${hex}'`)} INSERT INTO vms VALUES ('another', ${blob(other)});`, place);
      expect(await correctRecord(folder, NAME, ALLOW)).toEqual({ done: true });
      expect((await sql(rows, place)).split("\n")).toEqual([
        `another|blob|${JSON.stringify(other)}`,
        `${NAME}|blob|${texts[1]}`,
      ]);
    },
  );

  it.each([
    ["has a policy already", blob({ ...FORGOTTEN, allowed_cidrs: ["10.0.0.0/8"] })],
    ["has no network", blob({ ...FORGOTTEN, network: false })],
    ["knows no policy by that name", blob({ name: NAME, network: true, egress: null })],
    ["is another machine's", blob({ ...FORGOTTEN, name: "another" })],
    ["says it twice", blob({ ...FORGOTTEN, before: { allowed_cidrs: null } })],
    ["is no object", blob([FORGOTTEN])],
    ["is no JSON", "x'7b'"],
    ["is a text, which smolvm would take for damaged", `'${JSON.stringify({ name: NAME, network: true })}'`],
  ])("that %s is left as it is, and said to be unknown", async (_what, data) => {
    await sql(insert(data));
    const before = await sql(rows);
    const outcome = await correctRecord(folder, NAME, ALLOW);
    expect(outcome).toMatchObject({ done: false, reason: expect.stringMatching(/^its row /) });
    expect(await sql(rows)).toBe(before);
  });

  it("that somebody else changed meanwhile is said to be so", async () => {
    await sql(
      `${insert(blob(FORGOTTEN))} CREATE TRIGGER meanwhile BEFORE UPDATE ON vms BEGIN SELECT RAISE(IGNORE); END;`,
    );
    expect(await correctRecord(folder, NAME, ALLOW)).toEqual({
      done: false,
      reason: "it was changed by somebody else meanwhile",
    });
  });

  it("is not made up where there is none, nor its table, nor the database", async () => {
    expect(await correctRecord(folder, NAME, ALLOW)).toEqual({
      done: false,
      reason: "its database was not found",
    });
    await sql("CREATE TABLE machines (name TEXT);");
    expect(await correctRecord(folder, NAME, ALLOW)).toMatchObject({
      done: false,
      reason: expect.stringContaining("no such table"),
    });
    await sql(TABLE);
    expect(await correctRecord(folder, NAME, ALLOW)).toMatchObject({ done: false });
    expect(await sql(rows)).toBe("");
  });

  it("in a table of another form is left alone", async () => {
    await sql(
      `CREATE TABLE vms (name TEXT PRIMARY KEY, record BLOB); INSERT INTO vms VALUES ('${NAME}', x'00');`,
    );
    expect(await correctRecord(folder, NAME, ALLOW)).toMatchObject({
      done: false,
      reason: expect.stringContaining("no such column"),
    });
  });
});
