/** The first program of the bundle's container, run without one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { InitReport } from "../../../src/contract/bundle-container.ts";
import { readLines } from "../../../src/lib/json-lines.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { exited } from "../../../src/lib/processes.ts";

/** Who the sidecars run as: nobody, where the tests are root. */
const UID = process.getuid?.() || 65_534;

/** The built package where that user can read it, wherever it was built. */
let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "bundle-init-"));
  await cp(packagePath("dist"), join(place, "dist"), { recursive: true });
  await cp(packagePath("package.json"), join(place, "package.json"));
  await chmod(place, 0o755);
});
afterAll(() => rm(place, { recursive: true, force: true }));

let init: ChildProcess | undefined;
afterEach(async () => {
  init?.kill("SIGKILL");
  if (init !== undefined) await exited(init);
});

function start(daemons?: string) {
  const child = spawn(process.execPath, [join(place, "dist/programs/bundle-init.mjs")], {
    env: daemons === undefined ? {} : { BOT_BOTTLE_SIDECAR_DAEMONS: daemons },
  });
  init = child;
  const lines = readLines(child.stdout);
  const next = async (): Promise<string> => String((await lines.next()).value);
  return {
    child,
    next,
    /** The next report of the init's own; what others say meanwhile is passed over. */
    async report(): Promise<InitReport> {
      for (;;) {
        const line = await next();
        if (line.startsWith("[init] ")) return JSON.parse(line.slice("[init] ".length)) as InitReport;
      }
    },
    say: (who: string, line: unknown) => void child.stdin.write(`[${who}] ${JSON.stringify(line)}\n`),
  };
}

describe("the bundle's init", () => {
  it.each([
    [undefined, ["egress", "git-gate", "supervise", "pipelock"]],
    ["", []],
    ["supervise, egress", ["egress", "supervise"]],
  ])("with a list of %j may start %j, and starts none by itself", async (list, daemons) => {
    expect(await start(list).report()).toEqual({ daemons });
  });

  it("refuses a name that is no sidecar's, and names those there are", async () => {
    const { child } = start("egress,mailer");
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(child, "close");
    expect(child.exitCode).toBe(64);
    expect(said).toBe(
      "BOT_BOTTLE_SIDECAR_DAEMONS names mailer, which is no sidecar; there are egress, git-gate, supervise, pipelock\n",
    );
  });

  it("puts the name in front of each line of a sidecar's, and ends with its stdin", async () => {
    const { child, report, next, say } = start();
    await report();
    say("init", { start: "egress", uid: UID });
    expect(await report()).toMatchObject({ started: "egress", pid: expect.any(Number) });
    say("egress", { type: "config", config: {} });
    expect(await next()).toMatch(/^\[egress\] \{"type":"log","level":"error"/);
    expect(await report()).toEqual({ ended: "egress", reason: "egress ended (1)" });
    child.stdin.end();
    await once(child, "close");
    expect(child.exitCode).toBe(0);
  });

  it("starts none twice, none that is not on its list, and obeys nothing else", async () => {
    const { report, say, child } = start("egress");
    await report();
    child.stdin.write('no frame\n[init] {"start":"egress"\n[init] {"run":"sh"}\n[sh] {}\n');
    say("init", { start: "supervise", uid: UID });
    expect(await report()).toEqual({ ended: "supervise", reason: "it may not be started" });
    say("init", { start: "egress", uid: UID });
    expect(await report()).toMatchObject({ started: "egress" });
    say("init", { start: "egress", uid: UID });
    expect(await report()).toEqual({ ended: "egress", reason: "it may not be started" });
  });

  it("kills what does not end by itself, after its grace", async () => {
    const { child, report, say } = start();
    await report();
    say("init", { start: "egress", uid: UID });
    const started = await report();
    if (!("started" in started)) throw new Error("egress did not start");
    process.kill(started.pid, "SIGSTOP");
    while (!/^State:\s+T/m.test(readFileSync(`/proc/${started.pid}/status`, "utf8"))) await pause(5);
    const begin = Date.now();
    child.kill("SIGTERM");
    expect(await report()).toEqual({ ended: "egress", reason: "egress ended (SIGKILL)" });
    expect(Date.now() - begin).toBeGreaterThan(7_000);
    await once(child, "close");
    expect(child.exitCode).toBe(0);
  });
});
