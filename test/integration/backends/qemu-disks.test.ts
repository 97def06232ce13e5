/** A micro-VM's disk outlives it: resumed, forked, and frozen as an image without what was provisioned. */
import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { textsOn } from "../../support/raw-disk.ts";
import { BOTTLE, type Run, runProgram } from "../../support/real-bottle.ts";
import { VM_CACHE, vmLack } from "../../support/vm-host.ts";

const lack = await vmLack();

const AGENT = [
  "echo life >>~/workspace/notes; cat ~/workspace/notes | wc -l",
  "cat ~/.bottle/mcp.json ~/.config/backup/credentials.json /etc/ssl/bottle/ca.pem",
  // What the agent itself threw away may have been anything.
  "echo thrown-$((1000+1))-away >~/gone; sync; rm ~/gone",
  "exit 3",
].join("; ");

describe.skipIf(lack !== undefined)("the disk of a micro-VM", () => {
  let folder: string;
  let id: string;
  let secrets: readonly string[];
  const name = `t${process.pid}`;

  const operator = (...argv: [string, ...string[]]): Promise<Run> =>
    runProgram(argv, {
      cwd: folder,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: folder,
        XDG_RUNTIME_DIR: join(folder, "run"),
        BOT_BOTTLE_HOME: join(folder, "home"),
        BOT_BOTTLE_CACHE: VM_CACHE,
      },
    });
  const bottle = (...args: string[]): Promise<Run> => operator(process.execPath, BOTTLE, ...args);
  const searched = (path: string): readonly string[] => textsOn(path, secrets);
  const keptDisk = () => join(VM_CACHE, "images/kept", name, "disk.ext4");

  beforeAll(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "bbk-")));
    for (const path of ["run", "home/bottles", "home/agents"])
      mkdirSync(join(folder, path), { recursive: true });
    const provider = { template: "command", command: ["sh", "-c", AGENT] };
    const text = JSON.stringify({ agent_provider: provider, supervise: true });
    writeFileSync(join(folder, "home/bottles/b.md"), `---\n${text}\n---\n`);
    writeFileSync(join(folder, "home/agents/a.md"), "---\nbottle: b\n---\n");
    const run = await bottle("start", "a", "--backend", "qemu", "--yes", "--prompt", "work");
    expect(run.code, run.stderr).toBe(3);
    id = readdirSync(join(folder, "home/state"))[0] ?? expect.fail("no bottle");
    const [, bearer = ""] = /Bearer ([\w-]{20,})/.exec(run.stdout) ?? [];
    const [, decoy = ""] = /"secret_key": "(\w{40})"/.exec(run.stdout) ?? [];
    const [, , certificate = ""] = /(-----BEGIN CERTIFICATE-----\n)(.{64})/.exec(run.stdout) ?? [];
    secrets = [bearer, decoy, certificate, "thrown-1001-away"];
    for (const secret of secrets) expect(secret.length).toBeGreaterThan(10);
  }, 300_000);
  afterAll(async () => {
    await bottle("rm", "--force", ...readdirSync(join(folder, "home/state")));
    await bottle("image", "prune", `kept:${name}`, "--yes");
    await removeTree(folder);
  }, 60_000);

  it("is there again when its bottle is resumed", async () => {
    const run = await bottle("resume", id, "--yes", "--prompt", "more");
    expect(run.code, run.stderr).toBe(3);
    expect(run.stdout.split("\n")[0]).toBe("2");
  }, 120_000);

  it("is frozen as an image without what was provisioned, of which not a byte is left", async () => {
    const run = await bottle("commit", id, name);
    expect(run, run.stderr).toMatchObject({ code: 0, stdout: `kept:${name}\n` });
    // Control: the bottle's own disk holds them.
    expect(searched(join(folder, "home/state", id, "guest.qcow2"))).toEqual(secrets);
    expect(searched(keptDisk())).toEqual([]);
    execFileSync("e2fsck", ["-fn", keptDisk()], { stdio: "ignore" });
    const said = execFileSync("debugfs", ["-R", "cat /home/node/workspace/notes", keptDisk()], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(said).toBe("life\nlife\n");
  }, 120_000);

  // Under load: `npm run soak -- commit`.
  it.runIf(process.env["SOAK"] !== undefined)(
    "holds nothing of what was provisioned, twenty times in a row on a busy host",
    async () => {
      const busy = Array.from({ length: 2 * availableParallelism() }, () =>
        spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
      );
      try {
        for (let i = 0; i < 20; i++) {
          const run = await bottle("commit", id, `${name}-${i}`);
          expect(run.code, run.stderr).toBe(0);
          expect(searched(join(VM_CACHE, "images/kept", `${name}-${i}`, "disk.ext4"))).toEqual([]);
          await bottle("image", "prune", `kept:${name}-${i}`, "--yes");
        }
      } finally {
        for (const each of busy) each.kill("SIGKILL");
      }
    },
    30 * 60_000,
  );

  it("is not frozen twice under one name, nor under none", async () => {
    expect((await bottle("commit", id, name)).stderr).toContain(`there is a kept image ${name} already`);
    expect((await bottle("commit", id, "../x")).stderr).toContain("is no name for an image");
    expect((await bottle("commit", "nobody-abcde")).stderr).toContain("there is no bottle");
  });

  it("is what another bottle begins with, provisioned anew", async () => {
    const run = await bottle(
      "start",
      "a",
      "--backend",
      "qemu",
      "--image",
      `kept:${name}`,
      "--yes",
      "--prompt",
      "on",
    );
    expect(run.code, run.stderr).toBe(3);
    expect(run.stdout.split("\n")[0]).toBe("3");
    expect(run.stdout).toMatch(/Bearer [\w-]{20,}/);
    expect(run.stdout).not.toContain(secrets[0]);
  }, 120_000);

  it("is copied for each fork, which goes on by itself", async () => {
    const run = await bottle("fork", id, "2", "--yes", "--prompt", "fork");
    expect(run.code, run.stderr).toBe(0);
    const forks = run.stdout.trim().split("\n");
    expect(forks).toHaveLength(2);
    for (const fork of forks) {
      const log = join(folder, "home/state", fork, "agent.log");
      for (let i = 0; i < 200 && !readFileSync(log, "utf8").includes("END CERTIFICATE"); i++)
        await pause(100);
      const said = readFileSync(log, "utf8");
      expect(said.split("\n")[0]).toBe("3");
      for (const secret of secrets.slice(0, 3)) expect(said).not.toContain(secret);
    }
    expect(await bottle("audit", "verify", forks[0] ?? "")).toMatchObject({ code: 0 });
  }, 180_000);

  describe("of one that runs", () => {
    // Each tick is on the disk by itself; what is said first is what the copy began with.
    const RUNNING = [
      "grep -c tick ~/ticks 2>/dev/null || echo 0",
      "grep -h secret_key ~/.config/backup/credentials.json",
      "while :; do echo tick >>~/ticks; sleep 0.05; done",
    ].join("; ");
    let running: string;
    const saidBy = async (other: string): Promise<readonly string[]> => {
      const log = join(folder, "home/state", other, "agent.log");
      const lines = () => (existsSync(log) ? readFileSync(log, "utf8").split("\n") : []);
      for (let i = 0; i < 200 && lines().length < 3; i++) await pause(100);
      return lines();
    };
    const ticks = async (): Promise<number> =>
      Number((await bottle("exec", running, "--", "grep", "-c", "tick", "/home/node/ticks")).stdout);

    beforeAll(async () => {
      const provider = { template: "command", command: ["sh", "-c", RUNNING] };
      writeFileSync(
        join(folder, "home/bottles/r.md"),
        `---\n${JSON.stringify({ agent_provider: provider })}\n---\n`,
      );
      writeFileSync(join(folder, "home/agents/r.md"), "---\nbottle: r\n---\n");
      const run = await bottle("start", "r", "--backend", "qemu", "--yes", "--detach", "--prompt", "x");
      expect(run.code, run.stderr).toBe(0);
      running = run.stdout.trim();
      for (let i = 0; i < 100 && !((await ticks()) > 10); i++) await pause(200);
    }, 120_000);

    it("gives and takes files by OpenSSH's own sftp, whose server the built-in image has", async () => {
      const words = `${process.execPath} ${BOTTLE} exec ${running} -- /usr/lib/openssh/sftp-server`;
      writeFileSync(join(folder, "way"), `#!/bin/sh\nexec ${words}\n`, { mode: 0o755 });
      const given = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
      writeFileSync(join(folder, "given"), given, { mode: 0o750 });
      const batch = ["put -p given taken", "ls -l taken", "get -p taken back", "rm taken", "-ls taken"];
      writeFileSync(join(folder, "batch"), `${batch.join("\n")}\n`);
      const run = await operator("sftp", "-q", "-b", "batch", "-D", join(folder, "way"));
      expect(run.code, run.stderr).toBe(0);
      expect(run.stdout).toMatch(/^-rwxr-x--- .* 300000 .* taken$/m);
      expect(run.stderr).toContain('"/home/node/taken" not found');
      expect(readFileSync(join(folder, "back")).equals(given)).toBe(true);
      expect(statSync(join(folder, "back")).mode & 0o777).toBe(0o750);
    }, 120_000);

    it("is copied as it is at one moment, for every copy, and the bottle goes on", async () => {
      const before = await ticks();
      const run = await bottle("fork", running, "2", "--yes", "--prompt", "fork");
      expect(run.code, run.stderr).toBe(0);
      const [one = "", two = "", ...more] = run.stdout.trim().split("\n");
      expect(more).toEqual([]);
      const said = [await saidBy(one), await saidBy(two)];
      const [began, decoys] = [said.map(([first]) => Number(first)), said.map(([, second]) => second)];
      expect(began[0]).toBeGreaterThanOrEqual(before);
      expect(began[1]).toBe(began[0]);
      // Provisioned anew, each.
      expect(new Set([...decoys, (await saidBy(running))[1]]).size).toBe(3);
      expect(await ticks()).toBeGreaterThan(began[0] ?? Number.NaN);
      expect(await bottle("audit", "verify", running)).toMatchObject({ code: 0 });
      const log = readFileSync(join(folder, "home/audit", `${running}.jsonl`), "utf8");
      expect(log).toContain(`fork ${one} ${two}`);
      // I8: written before the copy is begun.
      const begun = log.indexOf("bottle.copying-disk");
      expect(begun).toBeGreaterThanOrEqual(0);
      expect(begun).toBeLessThan(log.indexOf("bottle.disk-copied"));
      for (const each of [one, two]) await bottle("stop", each);
    }, 180_000);

    it("is kept as an image meanwhile, without what was provisioned", async () => {
      const [, , decoy = ""] = /("secret_key": ")(\w{40})/.exec((await saidBy(running))[1] ?? "") ?? [];
      expect(decoy).toHaveLength(40);
      const image = join(VM_CACHE, "images/kept", `${name}-live`, "disk.ext4");
      try {
        const before = await ticks();
        const run = await bottle("commit", running, `${name}-live`);
        expect(run, run.stderr).toMatchObject({ code: 0, stdout: `kept:${name}-live\n` });
        expect(textsOn(image, [decoy])).toEqual([]);
        execFileSync("e2fsck", ["-fn", image], { stdio: "ignore" });
        const kept = execFileSync("debugfs", ["-R", "cat /home/node/ticks", image], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        });
        expect(kept.match(/^tick$/gm)?.length).toBeGreaterThanOrEqual(before);
        expect(await ticks()).toBeGreaterThan(before);
        // The copy that it was made from is gone.
        const left = readdirSync(join(folder, "home/state"));
        expect(left.filter((each) => !existsSync(join(folder, "home/state", each, "bottle.json")))).toEqual(
          [],
        );
      } finally {
        await bottle("stop", running);
        await bottle("image", "prune", `kept:${name}-live`, "--yes");
      }
    }, 180_000);
  });

  it("is no namespace bottle's", async () => {
    const run = await bottle("start", "a", "--backend", "namespace", "--yes", "--prompt", "x");
    const plain = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? expect.fail(run.stderr);
    expect((await bottle("commit", plain)).stderr).toContain("has no disk of its own");
  }, 60_000);
});
