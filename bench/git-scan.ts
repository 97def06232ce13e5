/**
 * How fast a push is looked at, beside gitleaks on the same commits, where that is installed. The gate reads every
 * object that the range brings: files, messages, names, through encodings and archives. Gitleaks reads the lines that
 * `git log -p` shows as added, with its own rules as they come; that is all of what it is asked here.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createGit } from "../src/sidecars/git-gate/git/run.ts";
import { writeSettings } from "../src/sidecars/git-gate/git/settings.ts";
import { compilePolicy } from "../src/sidecars/git-gate/policy/compile.ts";
import { inspectPush } from "../src/sidecars/git-gate/scan/inspect-push.ts";
import { must, OWN, siteConfig } from "../test/support/git-gate.ts";
import { makeRange } from "../test/support/git-range.ts";
import { type BenchRow, row } from "./row.ts";

const OBJECTS = 100_000;
const ROUNDS = 2;
const NAME = `git scan, ${OBJECTS.toLocaleString("en")} objects`;

export async function benchGitScan(
  folder: string,
  file: (n: number) => Buffer,
): Promise<readonly BenchRow[]> {
  const gitDir = join(folder, "scanned.git");
  await must(["git", "init", "-q", "--bare", gitDir]);
  const base = await makeRange(gitDir, "refs/heads/main", { seed: 1, objects: 1, file });
  const tip = await makeRange(gitDir, "refs/heads/new", { seed: 2, objects: OBJECTS, from: base, file });
  await must(["git", "--git-dir", gitDir, "update-ref", "-d", "refs/heads/new"]);

  const ours: number[] = [];
  const theirs: number[] = [];
  const inspect = await inspectorOf(folder, gitDir, tip);
  const gitleaks = hasGitleaks();
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await rateOf(inspect));
    if (gitleaks) theirs.push(await rateOf(() => runGitleaks(gitDir, base, tip)));
  }
  const rows = [row(`${NAME}: the gate`, "objects/s", ours)];
  if (!gitleaks) {
    const note =
      "not installed: apt-get install gitleaks (Debian 13 and later), or put its release on the PATH";
    return [
      ...rows,
      { name: `${NAME}: gitleaks`, unit: "objects/s", median: Number.NaN, p95: Number.NaN, note },
    ];
  }
  const ratios = ours.map((rate, i) => (100 * rate) / (theirs[i] ?? Number.NaN));
  return [
    ...rows,
    row(`${NAME}: gitleaks`, "objects/s", theirs, "added lines only, nothing decoded"),
    row(`${NAME}: gate / gitleaks`, "ratio x 100", ratios, "goal 200"),
  ];
}

async function rateOf(scan: () => Promise<void> | void): Promise<number> {
  const began = performance.now();
  await scan();
  return OBJECTS / ((performance.now() - began) / 1_000);
}

/** What the gate does between receiving a push and forwarding it. */
async function inspectorOf(folder: string, gitDir: string, tip: string): Promise<() => Promise<void>> {
  const config = siteConfig(join(folder, "scan"), { upstream: { kind: "local", path: gitDir } });
  const home = { stateDir: config.stateDir, runtimeDir: config.runtimeDir };
  for (const each of [home.stateDir, home.runtimeDir]) mkdirSync(each, { recursive: true });
  await writeSettings(home);
  const policy = await compilePolicy(config, config.policy);
  const repo = policy.repos.get("app");
  if (repo === undefined) throw new Error("no repository");
  return async () => {
    const verdict = await inspectPush({
      git: createGit(home),
      place: { gitDir },
      refs: [`${OWN}/scanned`],
      tips: [tip],
      inspector: policy.inspector,
      paths: repo.paths,
      limits: repo.policy.limits,
      excepted: () => false,
      signal: new AbortController().signal,
    });
    if (!verdict.allow || verdict.value.objects !== OBJECTS) throw new Error("it was not looked at whole");
  };
}

function hasGitleaks(): boolean {
  return spawnSync("gitleaks", ["version"]).status === 0;
}

function runGitleaks(gitDir: string, base: string, tip: string): void {
  const args = [
    "git",
    "--no-banner",
    "--log-level=error",
    "--exit-code=0",
    `--log-opts=${base}..${tip}`,
    gitDir,
  ];
  const { status, stderr } = spawnSync("gitleaks", args, { stdio: ["ignore", "ignore", "pipe"] });
  if (status !== 0) throw new Error(`gitleaks exited ${status}: ${stderr}`);
}
