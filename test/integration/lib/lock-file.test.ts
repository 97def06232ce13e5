/** Real processes on one lock: contending, killed while they hold it, killed while they take it over. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { acquireLock, tryLock } from "../../../src/lib/lock-file.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { processStart } from "../../../src/lib/process-start.ts";

const WORKER = `
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { acquireLock } from "./src/lib/lock-file.ts";
import { processStart } from "./src/lib/process-start.ts";

const [task, lockPath, file, times] = process.argv.slice(2);
const say = (line) => process.stdout.write(line + "\\n");
const take = (waitMs = 60_000) => acquireLock(lockPath, { waitMs, onWait: () => say("waiting") });
const lives = async (pid) => ![undefined, "ended"].includes(await processStart(pid));
let stopped = false;
process.stdin.on("end", () => (stopped = true)).resume();

const tasks = {
  async count() {
    for (let i = 0; i < Number(times); i++) {
      const lock = await take();
      const before = Number(readFileSync(file, "utf8"));
      await sleep(i % 3);
      writeFileSync(file, String(before + 1));
      await lock.release();
    }
  },
  async hold() {
    await take(0);
    say("held");
    await sleep(600_000);
  },
  async pass() {
    const lock = await take();
    appendFileSync(file, "in\\n");
    await sleep(5);
    appendFileSync(file, "out\\n");
    await lock.release();
  },
  /** Until stopped or killed: inside the lock, the file names nobody else who lives. */
  async churn() {
    while (!stopped) {
      const lock = await take();
      const before = Number(readFileSync(file, "utf8"));
      if (before > 0 && (await lives(before))) say("broken: with " + before);
      writeFileSync(file, String(process.pid));
      await sleep(Math.random() * 3);
      if (readFileSync(file, "utf8") !== String(process.pid)) say("broken: overwritten");
      writeFileSync(file, "0");
      await lock.release();
      say("turn");
      // There is no queue: without a pause it would go on alone.
      await sleep(Math.random() * 10);
    }
  },
};
await tasks[task]();
process.exit(0);
`;

let program: string;
let folder: string;
let lockPath: string;
let file: string;
/** Each kills the holder, and every other one of those who wait or take over. */
const KILLS = 25;

const children = new Set<ChildProcess>();

beforeAll(async () => {
  program = join(await mkdtemp(join(tmpdir(), "lock-worker-")), "worker.mjs");
  await build({
    stdin: { contents: WORKER, resolveDir: packagePath() },
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: program,
    logLevel: "silent",
  });
});
afterAll(() => rm(join(program, ".."), { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lock-file-"));
  lockPath = join(folder, "a.lock");
  file = join(folder, "file");
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

interface Worker {
  readonly child: ChildProcess & { readonly pid: number };
  readonly lines: string[];
  readonly exit: Promise<number | NodeJS.Signals>;
  /** Resolves when it has said `line`; rejects when it ends before. */
  said(line: string): Promise<void>;
}

function start(task: string, ...more: string[]): Worker {
  const child = spawn(process.execPath, [program, task, lockPath, file, ...more], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.add(child);
  const lines: string[] = [];
  const output = createInterface(child.stdout).on("line", (line) => lines.push(line));
  const exit = once(child, "close").then(([code, signal]) => {
    children.delete(child);
    return (code ?? signal) as number | NodeJS.Signals;
  });
  return {
    child: child as Worker["child"],
    lines,
    exit,
    said: (line) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (lines.includes(line)) resolve();
        };
        look();
        output.on("line", look).on("close", () => reject(new Error(`ended without saying ${line}`)));
      }),
  };
}

describe("a lock between processes", () => {
  it("loses no update of eight that count together", async () => {
    await writeFile(file, "0");
    const workers = Array.from({ length: 8 }, () => start("count", "25"));
    expect(await Promise.all(workers.map((worker) => worker.exit))).toEqual(Array(8).fill(0));
    expect(await readFile(file, "utf8")).toBe("200");
    expect(await readdir(folder)).toEqual(["file"]);
  });

  it("tells who holds it", async () => {
    const holder = start("hold");
    await holder.said("held");
    expect(await tryLock(lockPath)).toEqual({ pid: holder.child.pid });
    await expect(acquireLock(lockPath)).rejects.toThrow(`is held by process ${holder.child.pid}`);
    expect(await tryLock(lockPath)).toEqual({ pid: holder.child.pid });
  });

  it("goes to each of four in turn when its holder is killed while they wait", async () => {
    const holder = start("hold");
    await holder.said("held");
    const heirs = Array.from({ length: 4 }, () => start("pass"));
    await Promise.all(heirs.map((heir) => heir.said("waiting")));
    holder.child.kill("SIGKILL");
    expect(await Promise.all(heirs.map((heir) => heir.exit))).toEqual([0, 0, 0, 0]);
    expect(await readFile(file, "utf8")).toBe("in\nout\n".repeat(4));
    expect(await readdir(folder)).toEqual(["file"]);
  });

  it("is never held by two, whoever is killed and when", async () => {
    await writeFile(file, "0");
    const workers = Array.from({ length: 5 }, () => start("churn"));
    const lines: string[] = [];
    const insider = async (): Promise<Worker> => {
      for (;;) {
        const inside = Number(await readFile(file, "utf8"));
        const worker = workers.find(({ child }) => child.pid === inside);
        if (worker !== undefined) return worker;
        await sleep(1);
      }
    };
    const kill = async (victim: Worker): Promise<void> => {
      workers.splice(workers.indexOf(victim), 1, start("churn"));
      victim.child.kill("SIGKILL");
      expect(await victim.exit).toBe("SIGKILL");
      lines.push(...victim.lines);
    };
    for (let round = 0; round < KILLS; round++) {
      await kill(await insider());
      // The others race for what he left. Here and there one of them dies in it.
      await sleep(Math.random() * 40);
      if (round % 2 === 0) await kill(workers[round % workers.length]!);
    }
    for (const { child } of workers) child.stdin?.end();
    expect(await Promise.all(workers.map((worker) => worker.exit))).toEqual([0, 0, 0, 0, 0]);
    lines.push(...workers.flatMap((worker) => worker.lines));
    expect(lines.filter((line) => line.startsWith("broken"))).toEqual([]);
    expect(lines).toContain("turn");
    // What the killed left beside the lock goes with the next takeover.
    await writeFile(lockPath, "4999999.1.0123456789abcdef");
    await (await acquireLock(lockPath)).release();
    expect(await readdir(folder)).toEqual(["file"]);
  });

  it("is free when its holder has ended and nobody has asked how", async () => {
    // The shell becomes a program that never looks after the child it inherits.
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 600"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.add(parent);
    const [said] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(said.toString());
    await expect.poll(() => processStart(pid), { timeout: 10_000 }).toBe("ended");
    expect(await processStart(pid, "darwin")).toBe("ended");
    await writeFile(lockPath, `${pid}.1.0123456789abcdef`);
    await (await acquireLock(lockPath)).release();
  });

  it("is refused, without a wait, where a pipe stands in its place", async () => {
    execFileSync("sh", ["-c", 'mkfifo "$0"', lockPath]);
    await expect(acquireLock(lockPath, { waitMs: 60_000 })).rejects.toThrow("ESPIPE");
    expect(await readdir(folder)).toEqual(["a.lock"]);
  });
});

describe("processStart by ps, for systems without /proc", () => {
  it("is one word, the same at every call and in every time zone, and undefined for nobody", async () => {
    const zone = process.env["TZ"];
    const first = await processStart(process.pid, "darwin");
    expect(first).toMatch(/^[0-9a-f]+$/);
    try {
      process.env["TZ"] = "Asia/Kathmandu";
      expect(await processStart(process.pid, "darwin")).toBe(first);
    } finally {
      if (zone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = zone;
    }
    expect(await processStart(4_999_999, "darwin")).toBeUndefined();
  });

  it("is the time at which the process began", async () => {
    const began = Math.floor((Date.now() - process.uptime() * 1000) / 1000);
    const told = Number.parseInt((await processStart(process.pid, "darwin")) ?? "", 16);
    // ps counts in whole seconds since a boot that is itself rounded.
    expect(Math.abs(told - began)).toBeLessThanOrEqual(2);
  });
});
