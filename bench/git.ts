/**
 * What the gate costs: pushes of 1, 1,000 and 100,000 objects through it against the same pushes straight to the
 * upstream, turn by turn, over ssh (the system's sshd) and over https (git's http-backend), on this host. A direct
 * push runs as a developer's does: it connects anew each time, and asks a helper for its credential. The gate keeps
 * its connection to an ssh upstream, so its first push after a long pause is a case of its own.
 */
import { mkdtempSync } from "node:fs";
import { chmod, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GitUpstream } from "../src/contract/git-gate.ts";
import { must, OWN, siteConfig } from "../test/support/git-gate.ts";
import { makeRange } from "../test/support/git-range.ts";
import { CREDENTIAL, newUpstream, overHttps, overSsh } from "../test/support/git-upstreams.ts";
import { pidOf } from "../test/support/pid-of.ts";
import { type MemoryWatch, watchMemory } from "../test/support/process-memory.ts";
import { HAS_SSHD, startSshd } from "../test/support/sshd.ts";
import { makeTestCa } from "../test/support/test-ca.ts";
import { benchGitScan } from "./git-scan.ts";
import { codeFiles } from "./git-texts.ts";
import { type BenchRow, row } from "./row.ts";
import { startSidecar } from "./sidecar.ts";

interface Case {
  readonly objects: number;
  /** How often it is pushed, either way. */
  readonly rounds: number;
  /** The upstream has hung up on the gate's connection before. */
  readonly paused?: true;
}

const CASES: readonly Case[] = [
  { objects: 1, rounds: 15 },
  { objects: 1_000, rounds: 15 },
  { objects: 1_000, rounds: 9, paused: true },
  { objects: 100_000, rounds: 1 },
];

export async function benchGit(): Promise<readonly BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "bb-bench-"));
  const closing: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true, maxRetries: 5 })];
  try {
    const work = join(folder, "work.git");
    await must(["git", "init", "-q", "--bare", work]);
    const file = codeFiles();
    const rows: BenchRow[] = [];
    for (const kind of HAS_SSHD ? (["ssh", "https"] as const) : (["https"] as const)) {
      const upstream = await (kind === "ssh" ? sshUpstream : httpsUpstream)(folder, closing);
      const gate = await startGate(join(folder, `gate-${kind}`), upstream.settings, closing);
      rows.push(...(await benchPushes(kind, work, upstream, gate, file)));
    }
    if (!HAS_SSHD) rows.push(missing("git push over ssh", "no sshd: apt-get install openssh-server"));
    rows.push(...(await benchGitScan(folder, file)));
    return rows;
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

export function missing(name: string, note: string): BenchRow {
  return { name, unit: "-", median: Number.NaN, p95: Number.NaN, note };
}

interface Upstream {
  readonly settings: GitUpstream;
  readonly bare: string;
  /** For git's direct push. */
  readonly url: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
  /** Absent: each talk connects anew in any case. */
  readonly hangUp?: () => void;
}

async function sshUpstream(folder: string, closing: (() => unknown)[]): Promise<Upstream> {
  const sshd = await startSshd(join(folder, "sshd"));
  closing.push(() => sshd.close());
  const bare = await newUpstream(closing);
  const key = join(folder, "key");
  const hosts = join(folder, "hosts");
  await writeFile(key, sshd.privateKey, { mode: 0o600 });
  await writeFile(hosts, `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
  return {
    bare,
    settings: overSsh(sshd, bare),
    url: `ssh://${sshd.user}@127.0.0.1:${sshd.port}${bare}`,
    args: [],
    env: {
      GIT_SSH_COMMAND: `ssh -F none -i ${key} -o IdentitiesOnly=yes -o UserKnownHostsFile=${hosts} -o BatchMode=yes`,
      GIT_SSH_VARIANT: "ssh",
    },
    hangUp: () => sshd.hangUp(),
  };
}

async function httpsUpstream(folder: string, closing: (() => unknown)[]): Promise<Upstream> {
  const ca = await makeTestCa("bench");
  closing.push(() => ca.remove());
  const bare = await newUpstream(closing);
  const { upstream, server } = await overHttps(ca, bare);
  closing.push(() => server.close());
  const helper = join(folder, "helper");
  const { username, token } = CREDENTIAL;
  await writeFile(helper, `#!/bin/sh\necho username=${username}; echo password=${token}\n`);
  await chmod(helper, 0o700);
  return {
    bare,
    settings: upstream,
    url: upstream.url,
    args: ["-c", `http.sslCAInfo=${ca.file}`, "-c", `credential.helper=${helper}`],
    env: {},
  };
}

interface GateProcess {
  readonly url: string;
  readonly memory: MemoryWatch;
}

async function startGate(
  folder: string,
  upstream: GitUpstream,
  closing: (() => unknown)[],
): Promise<GateProcess> {
  const env = { PATH: process.env["PATH"] };
  const { child, address, ended } = await startSidecar("git-gate", siteConfig(folder, { upstream }), env);
  const memory = watchMemory(pidOf(child), 250);
  closing.push(async () => {
    memory.stop();
    child.stdin?.end();
    await ended;
  });
  return { url: `http://${address}/app.git`, memory };
}

async function benchPushes(
  kind: string,
  work: string,
  upstream: Upstream,
  gate: GateProcess,
  file: (n: number) => Buffer,
): Promise<BenchRow[]> {
  const { bare, url, args, env, hangUp } = upstream;
  await must(["git", "--git-dir", work, "fetch", "-q", bare, "main:main", "--force"]);
  const base = await must(["git", "--git-dir", work, "rev-parse", "main"]);
  const gitIn = ["git", "--git-dir", work];
  const push = async (name: string, through: boolean): Promise<number> => {
    const began = performance.now();
    const spec = `refs/ranges/${name}:${OWN}/${name}`;
    await must(
      through ? [...gitIn, "push", "-q", gate.url, spec] : [...gitIn, ...args, "push", "-q", url, spec],
      through ? {} : { env },
    );
    return performance.now() - began;
  };
  const rows: BenchRow[] = [];
  for (const { objects, rounds, paused } of CASES) {
    if (paused && hangUp === undefined) continue;
    const times: [direct: number[], through: number[]] = [[], []];
    // The first round warms up, where there are several.
    for (let round = objects > 1_000 ? 1 : 0; round <= rounds; round++) {
      for (const way of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const name = [kind, objects, paused ? "paused" : "on", round, way].join("-");
        const seed = hashOf(name);
        await makeRange(work, `refs/ranges/${name}`, {
          seed,
          objects,
          from: base,
          file: (n) => file(seed + n),
        });
        await must([...gitIn, "repack", "-q", "-d"]);
        // What went the other way meanwhile is no part of this push: an agent has fetched before it pushes.
        await must([...gitIn, "ls-remote", "-q", gate.url]);
        if (paused) await pause(hangUp);
        const time = await push(name, way === 1);
        if (round > 0) times[way].push(time);
      }
    }
    const label = `git push over ${kind}, ${objects.toLocaleString("en")} object${objects === 1 ? "" : "s"}${paused ? ", after a pause" : ""}`;
    const [direct, through] = times;
    const ratios = through.map((time, i) => (100 * time) / (direct[i] ?? Number.NaN));
    const goal = kind === "ssh" && objects === 1_000 && !paused ? "goal 130" : undefined;
    rows.push(
      row(`${label}: direct`, "ms", direct),
      row(`${label}: through the gate`, "ms", through),
      row(`${label}: gate / direct`, "ratio x 100", ratios, goal),
    );
  }
  const { all, own } = gate.memory.peak();
  return [
    ...rows,
    row(`git push over ${kind}: gate and all its programs, at most`, "MB PSS", [all / 1e6]),
    row(`git push over ${kind}: of it, not pages of files`, "MB PSS", [own / 1e6]),
  ];
}

/** For the gate to notice that its connection is gone. */
const NOTICED_MS = 200;

async function pause(hangUp: (() => void) | undefined): Promise<void> {
  hangUp?.();
  await new Promise((resolve) => setTimeout(resolve, NOTICED_MS));
}

function hashOf(name: string): number {
  return [...name].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) % 1_000_003, 7);
}
