/**
 * What inspection costs beside other proxies, turn by turn in the same run: a bare CONNECT tunnel that looks at nothing,
 * and proxies that end TLS and inspect nothing. Ours has all its detectors on, and in the middle of the run has to
 * catch a secret.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificateAuthority } from "../../demo/upstreams/certificate-authority.ts";
import { messageOf } from "../../src/lib/errors.ts";
import { type BenchRow, row } from "../row.ts";
import type { Load, LoadResult } from "./client.ts";
import { role, SUBJECTS, type Subject, UPSTREAM_NAMES } from "./subjects.ts";

const ROUNDS = 3;
/** Enough to keep every process busy, as an agent that builds something does. */
const CONNECTIONS = 32;
const BURST_MS = 1_500;
const BULK_BYTES = 1024 ** 3;
const EVENT_STREAMS = 30;
const MANY_REQUESTS = 500_000;
/** Between two looks at the memory. */
const MANY_MS = 5_000;

/** What ours is to reach of each of the others', in requests of 1 KB. */
const GOALS: Readonly<Record<string, number>> = {
  tunnel: 0.5,
  mitmproxy: 7,
  mockttp: 2,
  "http-mitm-proxy": 1.1,
};

/** What nobody passes who ends TLS in this runtime. */
const CEILING: keyof typeof SUBJECTS = "node:tls alone";

const LOADS: Readonly<Record<string, Load>> = {
  "1 KB": { kind: "keep-alive", bytes: 1024, connections: CONNECTIONS, ms: BURST_MS },
  "100 KB": { kind: "keep-alive", bytes: 100 * 1024, connections: CONNECTIONS, ms: BURST_MS },
  "new connections": { kind: "connect", connections: 8, ms: BURST_MS },
  "one at a time": { kind: "keep-alive", bytes: 1024, connections: 1, ms: BURST_MS },
  "first event": { kind: "events", times: EVENT_STREAMS },
  download: { kind: "download", bytes: BULK_BYTES },
  upload: { kind: "upload", bytes: BULK_BYTES },
};

interface Measured {
  readonly rates: number[];
  readonly latencies: number[];
  /** Microseconds of the proxy's own time on a processor, for each request: what a busy machine changes least. */
  readonly spent: number[];
}

/** A hundredth of a second, as Linux counts the time of processes. */
const TICK_US = 10_000;

export async function benchProxy(): Promise<readonly BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "bb-bench-"));
  const children: ChildProcess[] = [];
  const keep = (child: ChildProcess): ChildProcess => {
    children.push(child);
    return child;
  };
  try {
    const root = await makeCertificateAuthority("bench root");
    const rootFile = join(folder, "root.pem");
    writeFileSync(rootFile, root.certificate);
    const own = await root.issue([...UPSTREAM_NAMES]);
    const upstream = keep(role("upstream.ts"));
    upstream.send({ certificate: own.certificate, key: own.key });
    const [{ port: upstreamPort }] = (await once(upstream, "message")) as [{ readonly port: number }];
    const client = keep(role("client.ts"));
    await once(client, "message");

    const subjects: Subject[] = [];
    const rows: BenchRow[] = [];
    for (const [name, start] of Object.entries(SUBJECTS)) {
      const subject = await start({
        ...{ folder, root: root.certificate, rootFile, upstreamPort, keep },
        ...{ certificate: own.certificate, key: own.key },
      });
      if (subject === undefined) process.stderr.write(`bench: ${name} is not installed\n`);
      else subjects.push(subject);
    }
    for (const [title, load] of Object.entries(LOADS)) {
      const measured = new Map(
        subjects.map(({ name }): [string, Measured] => [name, { rates: [], latencies: [], spent: [] }]),
      );
      for (let round = -1; round < ROUNDS; round++) {
        for (const subject of subjects) {
          const { name, child } = subject;
          const before = spentBy(child);
          const result = await attempt(client, subject, load, title);
          if (result === undefined) continue;
          // The first round is for the just-in-time compilers.
          if (round < 0) continue;
          measured.get(name)?.rates.push(result.perSecond);
          measured.get(name)?.latencies.push(...result.latencies);
          measured.get(name)?.spent.push((spentBy(child) - before) / result.latencies.length);
        }
      }
      rows.push(...rowsOf(title, load, measured));
      await catchesSecret(client, subjects);
    }
    rows.push(...(await overManyRequests(client, subjects)));
    for (const { name, child } of subjects) {
      const megabytes = memoryOf(child);
      if (megabytes !== undefined)
        rows.push(row(`proxy ${name}: memory (PSS), afterwards`, "MB", [megabytes]));
    }
    return rows;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether memory is flat: that of our own, over more requests than a bottle makes in days. */
async function overManyRequests(client: ChildProcess, subjects: readonly Subject[]): Promise<BenchRow[]> {
  const ours = subjects.find(({ name }) => name === "bot-bottle");
  if (ours === undefined || memoryOf(ours.child) === undefined) return [];
  const samples: number[] = [];
  for (let requests = 0; requests < MANY_REQUESTS; ) {
    const load = { kind: "keep-alive", bytes: 1024, connections: CONNECTIONS, ms: MANY_MS } as const;
    requests += (await ask(client, ours, load)).latencies.length;
    samples.push(memoryOf(ours.child) ?? Number.NaN);
  }
  const first = row("", "", samples.slice(0, Math.ceil(samples.length / 4))).median;
  const last = row("", "", samples.slice(-Math.ceil(samples.length / 4))).median;
  const change = `${first.toFixed(0)} in the first quarter, ${last.toFixed(0)} in the last`;
  const name = `proxy bot-bottle: memory (PSS) over ${MANY_REQUESTS} requests`;
  return [row(name, "MB", samples, `${change}; goal: flat, at most 130`)];
}

function rowsOf(title: string, load: Load, measured: ReadonlyMap<string, Measured>): BenchRow[] {
  const base = measured.get("tunnel");
  return [...measured].flatMap(([name, { rates, latencies, spent }]): BenchRow[] => {
    const label = `proxy ${name}: ${title}`;
    const isAlone = load.kind === "events" || (load.kind === "keep-alive" && load.connections === 1);
    const isOurs = name === "bot-bottle";
    if (isAlone) {
      const goal = load.kind === "events" ? "p50 2000" : "p50 1000, p99 5000";
      const note = added(latencies, base?.latencies);
      return [row(label, "us", latencies, isOurs ? `${note}; goal: ${goal}` : note)];
    }
    const isBulk = load.kind === "download" || load.kind === "upload";
    const figures = isBulk ? rates.map((rate) => rate / 1e6) : rates;
    const own = isBulk ? "" : `; ${row("", "", spent).median.toFixed(0)} us of its own each`;
    const note = (isOurs && title === "1 KB" ? besideAll(rates, measured) : share(rates, base?.rates)) + own;
    return [row(label, isBulk ? "MB/s" : "requests/s", figures, note)];
  });
}

function besideAll(rates: readonly number[], measured: ReadonlyMap<string, Measured>): string {
  const own = row("", "", rates).median;
  return [...Object.entries(GOALS), [CEILING, "as near as it gets"] as const]
    .flatMap(([name, goal]) => {
      const other = measured.get(name);
      if (other === undefined) return [];
      return [`${(own / row("", "", other.rates).median).toFixed(2)} of ${name}, goal ${goal}`];
    })
    .join("; ");
}

function share(rates: readonly number[], base: readonly number[] | undefined): string {
  const ratio = row("", "", rates).median / row("", "", base ?? []).median;
  return `${ratio.toFixed(2)} of the tunnel`;
}

function added(latencies: readonly number[], base: readonly number[] | undefined): string {
  const at = (samples: readonly number[], part: number): number =>
    [...samples].sort((a, b) => a - b)[Math.floor(part * (samples.length - 1))] ?? Number.NaN;
  const more = (part: number): string => (at(latencies, part) - at(base ?? [], part)).toFixed(0);
  return `added: p50 ${more(0.5)}, p99 ${more(0.99)}`;
}

/** Not a number where nobody can tell. */
function spentBy(child: ChildProcess): number {
  try {
    // What stands before the parenthesis is the program's name, which may have anything in it.
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_US;
  } catch {
    return Number.NaN;
  }
}

/** Built here, so that no scanner takes this file for a leak. */
async function catchesSecret(client: ChildProcess, subjects: readonly Subject[]): Promise<void> {
  const ours = subjects.find(({ name }) => name === "bot-bottle");
  if (ours === undefined) return;
  const secret = `${"AKIA"}${"QWERTYUIOPASDFG2"}`;
  const { status } = await ask(client, ours, { kind: "post", body: `{"note":"the key is ${secret}"}` });
  if (status !== 403) throw new Error(`a planted secret got through: status ${status}`);
}

/** @returns undefined where another's proxy failed, which is said and no reason to measure nothing. */
async function attempt(
  client: ChildProcess,
  subject: Subject,
  load: Load,
  title: string,
): Promise<LoadResult | undefined> {
  const { name } = subject;
  try {
    const result = await ask(client, subject, load);
    if (result.status !== 200) throw new Error(`${name}: status ${result.status} for ${title}`);
    return result;
  } catch (error) {
    if (name === "bot-bottle") throw error;
    process.stderr.write(`bench: not counted: ${messageOf(error)}\n`);
    return undefined;
  }
}

async function ask(client: ChildProcess, { name, way }: Subject, load: Load): Promise<LoadResult> {
  client.send({ way, load });
  const [result] = (await once(client, "message")) as [LoadResult & { readonly error?: string }];
  if (result.error !== undefined) throw new Error(`${name}, ${load.kind}: ${result.error}`);
  return result;
}

/** Its share of physical memory, shared pages divided among their users; Linux only. */
function memoryOf(child: ChildProcess): number | undefined {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/smaps_rollup`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}
