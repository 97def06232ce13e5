/**
 * Other scanners on the same bytes. Each is a program of its own, timed from its start to its end; its start is timed with
 * an empty file and taken off. A row says so where one is not installed, and how it is.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheOf } from "../src/lib/paths.ts";
import { type BenchRow, row } from "./row.ts";

const INSTALL_MS = 5 * 60_000;
/** A scanner that takes longer for 10 MB is not compared. */
const SCAN_MS = 5 * 60_000;
const ROUNDS = 3;
const SECRETLINT = ["secretlint@9", "@secretlint/secretlint-rule-preset-recommend@9"];

interface Other {
  readonly name: string;
  /** How it is called for a file; undefined where it is not installed. */
  readonly command: (file: string) => readonly string[] | undefined;
  readonly install: string;
}

const OTHERS: readonly Other[] = [
  {
    name: "gitleaks",
    command: (file) => {
      if (spawnSync("gitleaks", ["version"]).error !== undefined) return undefined;
      return ["gitleaks", "detect", "--no-git", "--source", file, "--log-level", "fatal", "--exit-code", "1"];
    },
    install: "go install github.com/zricethezav/gitleaks/v8@latest",
  },
  {
    name: "secretlint",
    command: (file) => {
      const folder = installSecretlint();
      if (folder === undefined) return undefined;
      const program = join(folder, "node_modules/secretlint/bin/secretlint.js");
      return [process.execPath, program, "--secretlintrc", join(folder, "rules.json"), file];
    },
    install: `npm install --prefix ${secretlintFolder()} ${SECRETLINT.join(" ")}`,
  },
];

/** A figure for each, of `text` with a secret at its end that they must find. */
export function besides(name: string, text: Buffer): BenchRow[] {
  const folder = mkdtempSync(join(tmpdir(), "bb-bench-inspect-"));
  try {
    const full = join(folder, "full.txt");
    const empty = join(folder, "empty.txt");
    writeFileSync(full, Buffer.concat([text, Buffer.from(`\ntoken = "${plantedToken()}"\n`)]));
    writeFileSync(empty, "\n");
    return OTHERS.map((other) => compare(other, name, { folder, full, empty, size: text.length }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compare(
  { name, command, install }: Other,
  what: string,
  { folder, full, empty, size }: { folder: string; full: string; empty: string; size: number },
): BenchRow {
  const label = `${name}, ${what}`;
  const onFull = command(full);
  const onEmpty = command(empty);
  if (onFull === undefined || onEmpty === undefined)
    return row(label, "MB/s", [], `not installed: ${install}`);
  const start = Math.min(...Array.from({ length: ROUNDS }, () => time(onEmpty, folder, 0)));
  const samples = Array.from(
    { length: ROUNDS },
    () => size / Math.max(1, time(onFull, folder, 1) - start) / 1000,
  );
  return row(label, "MB/s", samples, `its start of ${start.toFixed(0)} ms taken off`);
}

/** Milliseconds of a run, which must end as it does when something (1) or nothing (0) was found. */
function time([program = "", ...args]: readonly string[], cwd: string, expected: number): number {
  const begin = performance.now();
  const { status, stderr } = spawnSync(program, args, { cwd, timeout: SCAN_MS, maxBuffer: 2 ** 28 });
  if (status !== expected)
    throw new Error(`${program} ended with ${status}: ${stderr.toString().slice(0, 400)}`);
  return performance.now() - begin;
}

function secretlintFolder(): string {
  return join(cacheOf(), "bench", "secretlint");
}

/** Nobody else needs it, so it is installed into the cache, when the bench is first run. */
function installSecretlint(): string | undefined {
  const folder = secretlintFolder();
  if (!existsSync(join(folder, "node_modules"))) {
    mkdirSync(folder, { recursive: true });
    process.stderr.write(`bench: installing ${SECRETLINT.join(" ")} into ${folder}\n`);
    const args = [
      "install",
      "--prefix",
      folder,
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
      ...SECRETLINT,
    ];
    const { status } = spawnSync("npm", args, { cwd: folder, timeout: INSTALL_MS });
    if (status !== 0) return undefined;
  }
  const rules = { rules: [{ id: "@secretlint/secretlint-rule-preset-recommend" }] };
  writeFileSync(join(folder, "rules.json"), JSON.stringify(rules));
  return folder;
}

function plantedToken(): string {
  return ["ghp", "k3Rz9QmXw7LpT2vN8sYbHc5JdF1gA6eUoV4i"].join("_");
}
