/**
 * What inspection costs: a keep-alive HTTPS GET of 1 KiB through egress (TLS ended, rules asked, TLS begun
 * anew) against a bare CONNECT tunnel in Node that looks at nothing, turn by turn in the same run.
 */

import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { makeCertificateAuthority } from "../demo/upstreams/certificate-authority.ts";
import { mintAuthority } from "../src/bundle/certificate-authority.ts";
import { INSPECTED } from "../src/contract/policy.ts";
import type { EgressConfig } from "../src/contract/sidecar.ts";
import { packagePath } from "../src/lib/package-root.ts";
import type { RoleSetup, Run, RunResult } from "./egress-roles.ts";
import { type BenchRow, row } from "./row.ts";
import { startSidecar } from "./sidecar.ts";

const HOST = "bench.example.test";
const ROUNDS = 5;
/** Enough to keep every process busy, as an agent that builds something does. */
const CONNECTIONS = 32;
const LOADED_MS = 1_500;
const ALONE_MS = 500;
/** Until the just-in-time compilers of all processes have had their turn. */
const WARM_UP_MS = 1_500;

export async function benchEgress(): Promise<BenchRow[]> {
  const children: ChildProcess[] = [];
  try {
    const root = await makeCertificateAuthority("bench root");
    const own = await root.issue([HOST]);
    const ca = await mintAuthority("bench");
    const upstream = await role(children, { role: "upstream", certificate: own.certificate, key: own.key });
    const tunnel = await role(children, { role: "tunnel", to: upstream.port });
    const client = await role(children, { role: "client", host: HOST });
    const egress = await startEgress(children, {
      bottle: "bench",
      ca: { certificate: ca.certificate, privateKey: ca.privateKey },
      listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
      findingsKey: randomBytes(32).toString("hex"),
      policy: {
        known: [],
        rules: [],
        upstreamCa: [root.certificate],
        routes: [
          {
            host: HOST,
            matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/bench" }] }],
            inject: [{ header: "authorization", value: "Bearer bench" }],
            credentialHeaders: ["authorization"],
            tls: "terminate",
            allowAddresses: [],
            inspection: { ...INSPECTED },
            connectTo: { host: "127.0.0.1", port: upstream.port },
          },
        ],
      },
    });
    const idle = idleMegabytes(egress.child);
    const ways = [
      { proxy: tunnel.port, ca: root.certificate },
      { proxy: egress.port, ca: ca.certificate },
    ] as const;
    const measure = (way: 0 | 1, connections: number, ms: number): Promise<RunResult> =>
      ask(client.child, { ...ways[way], connections, ms });

    for (const way of [0, 1] as const) await measure(way, CONNECTIONS, WARM_UP_MS);
    const rates: [number[], number[]] = [[], []];
    const latencies: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of [0, 1] as const) {
        rates[way].push((await measure(way, CONNECTIONS, LOADED_MS)).requestsPerSecond);
        latencies[way].push(...(await measure(way, 1, ALONE_MS)).latencies);
      }
    }
    const alone = [row("", "", latencies[0]), row("", "", latencies[1])] as const;
    const ratios = rates[1].map((rate, i) => rate / (rates[0][i] ?? Number.NaN));
    return [
      row("egress: bare CONNECT tunnel", "requests/s", rates[0], `${CONNECTIONS} connections`),
      row("egress: inspected", "requests/s", rates[1], `${CONNECTIONS} connections`),
      row(
        "egress: inspected / bare",
        "ratio x 100",
        ratios.map((ratio) => ratio * 100),
      ),
      row("egress: bare CONNECT tunnel", "us/request", latencies[0], "one connection"),
      row("egress: inspected", "us/request", latencies[1], "one connection"),
      {
        name: "egress: added latency",
        unit: "us/request",
        median: alone[1].median - alone[0].median,
        p95: alone[1].p95 - alone[0].p95,
      },
      ...(idle === undefined ? [] : [row("egress: memory (PSS), idle", "MB", [idle])]),
      ...memoryRow(egress.child),
    ];
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

async function role(
  children: ChildProcess[],
  setup: RoleSetup,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = fork(packagePath("bench/egress-roles.ts"), { execArgv: ["--import", "tsx"] });
  children.push(child);
  child.send(setup);
  const [message] = (await once(child, "message")) as [{ readonly port?: number }];
  return { child, port: message.port ?? 0 };
}

async function startEgress(
  children: ChildProcess[],
  config: EgressConfig,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const { child, address } = await startSidecar("egress", config);
  children.push(child);
  return { child, port: Number(address.split(":")[1]) };
}

async function ask(client: ChildProcess, run: Run): Promise<RunResult> {
  client.send(run);
  const [result] = (await once(client, "message")) as [RunResult & { readonly error?: string }];
  if (result.error !== undefined) throw new Error(result.error);
  return result;
}

/** Its share of physical memory, shared pages divided among their users; Linux only. */
function idleMegabytes(child: ChildProcess): number | undefined {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/smaps_rollup`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}

function memoryRow(child: ChildProcess): BenchRow[] {
  const megabytes = idleMegabytes(child);
  return megabytes === undefined ? [] : [row("egress: memory (PSS), after the load", "MB", [megabytes])];
}
