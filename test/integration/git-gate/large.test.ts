/**
 * Repositories that are large, behind a real sshd: what the gate and all its programs hold in memory must not grow with them. SOAK=1 takes
 * half a gigabyte and 100,000 objects; the suite a tenth of it, held to the same bound.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GitUpstream } from "../../../src/contract/git-gate.ts";
import { bareUpstream, must, newFolder, OWN, run, siteConfig, workingCopy } from "../../support/git-gate.ts";
import { type GateProcess, launchGate } from "../../support/git-gate-process.ts";
import { makeRange } from "../../support/git-range.ts";
import { overSsh } from "../../support/git-upstreams.ts";
import { type MemoryWatch, watchMemory } from "../../support/process-memory.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";

const SOAK = process.env["SOAK"] !== undefined;
const MEGABYTE = 1_000_000;
const BYTES = (SOAK ? 500 : 50) * MEGABYTE;
const OBJECTS = SOAK ? 100_000 : 5_000;
const MOST_MEMORY = 600 * MEGABYTE;
const TIME_LIMIT = SOAK ? 1_800_000 : 180_000;

const ONE_FILE = 2 * MEGABYTE;
/** Above what git holds whole. */
const LARGE_FILE = 20 * MEGABYTE;
/** A file, and its share of a commit and of folders. */
const FILES = BYTES / ONE_FILE;
const OBJECTS_OF_FILES = Math.ceil(FILES * 1.25);

const folder = newFolder();
const work = join(folder, "work.git");
let bare: string;
let base: string;
let gate: GateProcess;
let url: string;
let memory: MemoryWatch;
let sshd: Sshd | undefined;

const incompressible = (n: number): Buffer => randomBytes(n === 0 ? LARGE_FILE : ONE_FILE);
const text = (n: number): Buffer => Buffer.from(`export const value${n} = ${n};\n`.repeat(40));
const inBare = (...args: string[]): Promise<string> => must(["git", "--git-dir", bare, ...args]);

beforeAll(async () => {
  bare = await bareUpstream();
  await noDeltas(bare);
  base = await makeRange(bare, "refs/heads/main", {
    seed: 1,
    objects: OBJECTS_OF_FILES,
    from: await inBare("rev-parse", "main"),
    file: incompressible,
  });
  await must(["git", "clone", "-q", "--bare", bare, work]);
  await noDeltas(work);
  sshd = HAS_SSHD ? await startSshd(join(folder, "sshd")) : undefined;
  const upstream: GitUpstream = sshd === undefined ? { kind: "local", path: bare } : overSsh(sshd, bare);
  gate = launchGate(siteConfig(folder, { upstream }));
  const { listening } = await gate.next("ready");
  url = `http://${listening[0]}/app.git`;
  memory = watchMemory(gate.child.pid ?? 0, 200);
}, TIME_LIMIT);

afterAll(async () => {
  memory?.stop();
  await gate?.kill();
  sshd?.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  await rm(dirname(bare), { recursive: true, force: true });
});

/** Nothing of it gets smaller: whoever sends it need not try for minutes. */
async function noDeltas(gitDir: string): Promise<void> {
  await must(["git", "--git-dir", gitDir, "config", "core.bigFileThreshold", "1m"]);
}

/** Pushes a range, and holds that upstream then has all of it. */
async function pushRange(branch: string, objects: number, file: (n: number) => Buffer): Promise<void> {
  const tip = await makeRange(work, `refs/ranges/${branch}`, {
    ...{ seed: objects, objects, from: base, file },
  });
  const spec = `refs/ranges/${branch}:${OWN}/${branch}`;
  expect(await run(["git", "--git-dir", work, "push", "-q", url, spec])).toMatchObject({ code: 0 });
  expect(await inBare("rev-parse", `${OWN}/${branch}`)).toBe(tip);
  await inBare("rev-list", "--objects", "--quiet", `${OWN}/${branch}`);
  expect(gate.events("git.pushed").at(-1)).toMatchObject({ objects });
}

describe.runIf(process.platform === "linux")(`${BYTES / MEGABYTE} MB, and ${OBJECTS} objects`, () => {
  it(
    "are cloned, whole, shallow and partial, and each clone can push",
    async () => {
      for (const options of [[], ["--depth=1"], ["--filter=blob:none", "--no-checkout"]]) {
        const copy = workingCopy(join(folder, `copy${options.join("")}`));
        await must(["git", "clone", "-q", ...options, url, copy.folder]);
        expect(await copy.git("rev-parse", "HEAD")).toBe(base);
        if (options.includes("--no-checkout")) {
          // One file, which is fetched when it is asked for.
          await copy.git("sparse-checkout", "set", "--no-cone", "README.md");
          await copy.git("checkout", "-q");
        } else expect(await copy.git("status", "--porcelain")).toBe("");
        const branch = `from${options[0] ?? "-whole"}`.replace(/[^a-z]+/g, "-");
        await copy.write(`${branch}.txt`, `${branch}\n`);
        await copy.git("add", "--sparse", `${branch}.txt`);
        await copy.git("commit", "-q", "-m", branch);
        expect(await copy.push(branch)).toMatchObject({ code: 0 });
        expect(await inBare("rev-parse", `${OWN}/${branch}`)).toBe(await copy.git("rev-parse", "HEAD"));
        await rm(copy.folder, { recursive: true, force: true });
      }
    },
    TIME_LIMIT,
  );

  it("of files are pushed", () => pushRange("files", OBJECTS_OF_FILES, incompressible), TIME_LIMIT);

  it(
    "of objects are pushed, and fetched by others",
    async () => {
      await pushRange("objects", OBJECTS, text);
      const other = join(folder, "other.git");
      await must(["git", "init", "-q", "--bare", other]);
      await must(["git", "--git-dir", other, "fetch", "-q", url, `${OWN}/objects:refs/heads/objects`]);
      expect(await must(["git", "--git-dir", other, "rev-list", "--count", "objects", `^${base}`])).toBe(
        await inBare("rev-list", "--count", `${OWN}/objects`, `^${base}`),
      );
    },
    TIME_LIMIT,
  );

  it("took no more memory than a bound that does not depend on them", () => {
    const { own, all } = memory.peak();
    const inMegabytes = (bytes: number): string => `${Math.round(bytes / MEGABYTE)} MB`;
    process.stderr.write(
      `gate and all its programs: ${inMegabytes(own)} of their own, ${inMegabytes(all)} with pages of files\n`,
    );
    expect(own).toBeGreaterThan(10 * MEGABYTE);
    expect(own).toBeLessThan(MOST_MEMORY);
  });
});
