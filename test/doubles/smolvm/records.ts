/**
 * The database: real SQLite, by its own command. Table `vms`, one row a machine, `data` a JSON text that is stored as
 * a BLOB; a row of another type is a damaged one. Environments are in it in plain text.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

export interface MachineRecord {
  readonly name: string;
  readonly created_at: number;
  readonly cpus: number;
  readonly memory_mib: number;
  readonly storage_gb: number;
  readonly overlay_gb: number | null;
  readonly network: boolean;
  readonly network_backend: "tsi" | "virtio-net" | null;
  /** Null: no policy. */
  readonly allowed_cidrs: readonly string[] | null;
  readonly dns_filter_hosts: readonly string[] | null;
  readonly env: readonly (readonly [string, string])[];
  readonly workdir: string | null;
  readonly mount_sockets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** A file or folder, or a reference that stands for this host's own system folders. */
  readonly source: { readonly kind: "pack" | "archive" | "folder" | "host"; readonly path: string };
  readonly image: string | null;
  readonly ephemeral: boolean;
}

const { HOME = homedir(), XDG_DATA_HOME, XDG_CACHE_HOME } = process.env;
const DATABASE = join(
  XDG_DATA_HOME ?? join(HOME, process.platform === "darwin" ? "Library/Application Support" : ".local/share"),
  "smolvm/server/smolvm.db",
);
const CACHE = join(XDG_CACHE_HOME ?? join(HOME, ".cache"), "smolvm");

export class Failure extends Error {}

export function directoryOf(name: string): string {
  return join(CACHE, "vms", createHash("sha256").update(name).digest("hex").slice(0, 16));
}

export function listRecords(): readonly MachineRecord[] {
  return sql("SELECT typeof(data), hex(data) FROM vms ORDER BY name;")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [type, hex = ""] = line.split("|");
      if (type !== "blob")
        throw new Failure("database error: invalid column type Text at index: 1, name: data");
      return JSON.parse(Buffer.from(hex, "hex").toString()) as MachineRecord;
    });
}

export function findRecord(name: string): MachineRecord {
  const found = listRecords().find((record) => record.name === name);
  if (found === undefined) throw new Failure(`machine '${name}' not found`);
  return found;
}

export function insertRecord(record: MachineRecord): void {
  const data = Buffer.from(JSON.stringify(record)).toString("hex");
  sql(`INSERT INTO vms (name, data) VALUES (${quoted(record.name)}, x'${data}');`);
}

export function deleteRecord(name: string): void {
  sql(`DELETE FROM vms WHERE name = ${quoted(name)};`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function sql(text: string): string {
  mkdirSync(dirname(DATABASE), { recursive: true });
  return execFileSync("sqlite3", ["-batch", "-noheader", DATABASE], {
    input: `.timeout 5000\nCREATE TABLE IF NOT EXISTS vms (name TEXT PRIMARY KEY, data BLOB NOT NULL);\n${text}\n`,
    encoding: "utf8",
  });
}
