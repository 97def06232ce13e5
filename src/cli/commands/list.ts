/** `bottle list`: what runs, what was kept, what a crash left; or which agents there are. */
import { existsSync } from "node:fs";
import { isInUse } from "../../keeper/bottle-lock.ts";
import {
  type BottlePaths,
  type BottleRecord,
  bottlePaths,
  findRecord,
  listBottleIds,
} from "../../keeper/bottle-record.ts";
import { tryConnectKeeper } from "../../keeper/control-client.ts";
import type { BottleStatus } from "../../keeper/control-protocol.ts";
import { findStrays, type Stray } from "../../keeper/strays.ts";
import { homeOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { loadIndex } from "../../manifest/index-scan.ts";
import { printJson, printTable, tell } from "../output.ts";

/** Of an engine that does not answer nothing is told; whatever else there is must not wait for it. */
const STRAYS_TIMEOUT_MS = 5_000;

interface Row {
  readonly id: string;
  readonly agent: string;
  readonly label: string | null;
  readonly backend: string | null;
  /**
   * `launching`, `ready`, `running` and `settling`: somebody is at work on it. `frozen`: it runs, and nothing leaves it
   * before `bottle thaw`. `stuck`: he lives and does not answer.
   * Else what the disk says: `kept`; `crashed`, when its keeper was killed; `damaged`, when nothing can be said.
   * `orphaned`: its state directory is gone, and something of it is still there, or it runs.
   */
  readonly state: BottleStatus["phase"] | "frozen" | "stuck" | "kept" | "crashed" | "damaged" | "orphaned";
  readonly startedAt: string | null;
  /** How it ended. */
  readonly exit: string | null;
  /** What the operator should know of one that runs, or of what is left of it: why it is frozen, sidecars that died. */
  readonly trouble: string | null;
}

export async function list(flags: { readonly agents?: true; readonly json?: true }): Promise<number> {
  return flags.agents ? listAgents(flags.json === true) : listBottles(flags.json === true);
}

async function listBottles(json: boolean): Promise<number> {
  const [known, strays] = await Promise.all([
    listBottleIds().then((ids) => Promise.all(ids.map(describe))),
    findStrays({
      signal: AbortSignal.timeout(STRAYS_TIMEOUT_MS),
      onTrouble: (words) => tell(`warning: ${words}`),
    }),
  ]);
  const rows = [...known.flat(), ...strays.map(describeStray)];
  if (json) printJson(rows);
  else if (rows.length === 0) tell("no bottles; bottle start <agent> makes one");
  else {
    printTable(
      ["ID", "AGENT", "BACKEND", "STATE", "STARTED", "LABEL"],
      rows.map((row) => [
        row.id,
        printable(row.agent),
        row.backend ?? "-",
        [
          row.state,
          ...[row.exit, row.trouble].flatMap((words) => (words === null ? [] : `(${printable(words)})`)),
        ].join(" "),
        row.startedAt ?? "-",
        printable(row.label ?? ""),
      ]),
    );
  }
  return 0;
}

/** None for one that has been removed in the meantime. */
async function describe(id: string): Promise<readonly Row[]> {
  const paths = bottlePaths(id);
  const status = await statusOf(id).catch(() => undefined);
  const record = await findRecord(paths).catch(() => "damaged" as const);
  const { plan, startedAt, ended } = typeof record === "object" ? record : {};
  const phase = status?.phase === "running" && status.frozen !== undefined ? "frozen" : status?.phase;
  const state = phase ?? (await stateOnDisk(paths, record));
  if (status === undefined && !existsSync(paths.state)) return [];
  const row = {
    id,
    agent: status?.agent ?? plan?.agent.name ?? "?",
    label: status?.label ?? plan?.label ?? null,
    backend: status?.backend ?? plan?.backend ?? null,
    state,
    startedAt: status?.startedAt ?? startedAt ?? null,
    exit: status === undefined ? (ended?.exit ?? null) : null,
    trouble: status === undefined ? null : troubleOf(status),
  };
  return [row];
}

function describeStray({ bottle, keeper, resources, sockets, agent, backend, startedAt }: Stray): Row {
  const counts = new Map<string, number>();
  for (const { kind } of resources) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const parts = [...counts].map(([kind, count]) => `${count} ${kind}${count === 1 ? "" : "s"}`);
  if (sockets !== undefined) parts.push("its sockets");
  const what =
    keeper === undefined
      ? `its state directory is gone, and not ${parts.join(", ")}: bottle cleanup removes them`
      : `it runs, and its state directory is gone: bottle rm --force ${bottle} ends it`;
  return {
    ...{ id: bottle, agent: agent ?? "?", label: null, backend: backend ?? null, state: "orphaned" },
    ...{ startedAt: startedAt ?? null, exit: null, trouble: what },
  };
}

/** While one is down its guest has less; one that keeps dying is for somebody to look at: bottle audit report tells why. */
function troubleOf({ phase, frozen, sidecars }: BottleStatus): string | null {
  const down = sidecars.flatMap(({ name, pid, restarts }) => {
    // One of them waits for its first use.
    const isDown = pid === 0 && (restarts > 0 || name !== "supervise");
    if (isDown) return `${name} is down, was restarted ${restarts}x`;
    if (restarts > 0) return `${name} restarted ${restarts}x`;
    return [];
  });
  const words = frozen === undefined ? down : [frozen, ...down];
  return phase === "settling" || words.length === 0 ? null : words.join(", ");
}

async function stateOnDisk(
  paths: BottlePaths,
  record: BottleRecord | "damaged" | undefined,
): Promise<Row["state"]> {
  // A keeper serves its socket from the moment it is ready, and has the lock before.
  if (await isInUse(paths)) return existsSync(paths.socket) ? "stuck" : "launching";
  if (record === "damaged") return "damaged";
  return record?.ended === undefined ? "crashed" : "kept";
}

async function statusOf(id: string): Promise<BottleStatus | undefined> {
  return (await tryConnectKeeper(bottlePaths(id), id))?.status();
}

function listAgents(json: boolean): number {
  const { agents, warnings } = loadIndex({ home: homeOf(), cwd: process.cwd() });
  for (const warning of warnings) tell(`warning: ${warning}`);
  const rows = agents.map(({ name, source, file }) => ({ name, source, file: file ?? null }));
  if (json) printJson(rows);
  else {
    printTable(
      ["AGENT", "FROM", "FILE"],
      rows.map((row) => [row.name, row.source, printable(row.file ?? "")]),
    );
  }
  return 0;
}
