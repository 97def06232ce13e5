/** Whole bottles on the docker backend: a real engine, the built command, sidecars in their container. */
import { spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownProcessStart } from "../../../src/lib/process-start.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { HELLO } from "../../doubles/upstreams.ts";
import { eventually, isAlive } from "../../support/bottle-cli.ts";
import { limitsOf } from "../../support/cgroups.ts";
import { type ContainedSite, startContainedSite } from "../../support/contained-site.ts";
import { engineLack } from "../../support/docker-engine.ts";
import { freeDescriptor } from "../../support/open-files.ts";
import {
  BOTTLE,
  IDLE,
  pause,
  type RealBottle,
  type RealOperator,
  runProgram,
} from "../../support/real-bottle.ts";
import { searchHost } from "../../support/real-host.ts";

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: whole bottles on docker: ${lack}`);

/** Waits for deadlines. */
const isShort = process.env["SOAK"] === undefined;
const long = it.skipIf(isShort);
const inSoak = isShort ? " (npm run soak -- docker)" : "";

describe.skipIf(lack !== undefined)("a bottle on docker", () => {
  let world: ContainedSite;
  let operator: RealOperator;
  let docker: ContainedSite["docker"];
  let bottle: RealBottle;

  const named = async (id: string): Promise<string> => (await world.named(id)).join(" ");

  beforeAll(async () => {
    world = await startContainedSite();
    ({ operator, docker } = world);
    const { egress } = world;
    const limits = { cpus: 1.5, memory: "700M" };
    const keys = { agent_provider: IDLE, backend: "docker", supervise: true, egress, resources: limits };
    operator.agent("contained", keys);
    bottle = await operator.start("contained", [], { timeoutMs: 200_000 });
  }, 300_000);
  afterAll(() => world?.close(), 60_000);

  it("is verified from inside before its agent runs", () => {
    const verified = bottle.log().find(({ event }) => event === "bottle.verified");
    expect(verified?.data["isolated"]).toBe(true);
    expect(verified?.data["results"]).toContain("tcp 127.0.0.1:9099 answered");
  });

  it("reaches an allowed host with a credential that is nowhere in it", async () => {
    const said = await bottle.sh(
      "curl -sS https://allowed.test/echo; env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'",
    );
    expect(said).toContain(`"/echo"`);
    expect(world.site.requests.at(-1)?.headers).toMatchObject({ authorization: `Bearer ${world.token}` });
    expect(said).not.toContain(world.token);
    for (const role of ["guest", "sidecars"]) {
      expect(await docker("inspect", `bot-bottle-${bottle.id}-${role}`)).not.toContain(world.token);
    }
  });

  it("has no credential in any argument, environment, database, log or file on the host", () => {
    expect(searchHost({ token: world.token }, world.since, { more: [operator.home] })).toEqual([]);
  }, 180_000);

  it("reaches it without the proxy too, and is told why it reaches no other", async () => {
    const direct =
      "node -e 'fetch(process.argv[1]).then(async (r) => console.log(await r.text()))' https://allowed.test/";
    expect(await bottle.sh(`env -u HTTPS_PROXY -u https_proxy -u NODE_USE_ENV_PROXY ${direct}`)).toBe(
      HELLO.trim(),
    );
    expect(await bottle.sh("curl -sS https://elsewhere.test/ 2>&1 || :")).toMatch(/403|denied/);
  });

  it("is limited in memory, processes and processor time, by the kernel's own word", async () => {
    const pid = await docker("inspect", "--format", "{{.State.Pid}}", `bot-bottle-${bottle.id}-guest`);
    expect(limitsOf(Number(pid))).toEqual({ memory: 700 * 1024 ** 2, processes: 4096, cpus: 1.5 });
  });

  it("has no network but its own loopback", async () => {
    expect(
      await bottle.sh(
        "ls /sys/class/net; tail -n +2 /proc/net/route; cat /etc/resolv.conf | grep -c nameserver || :",
      ),
    ).toBe("lo\n0");
    for (const target of ["1.1.1.1 53", "169.254.169.254 80", "172.17.0.1 2375"]) {
      const [host, port] = target.split(" ");
      expect(
        await bottle.sh(`curl -sS -m 2 --noproxy '*' http://${host}:${port}/ 2>&1 | head -c 300 || :`),
      ).toMatch(/Couldn't connect|Failed to connect|unreachable/i);
    }
  });

  it("is no other user's of the host, who neither reads its volumes nor reaches what is the operator's", async () => {
    const { id } = bottle;
    const volume = await docker("volume", "inspect", "--format", "{{.Mountpoint}}", `bot-bottle-${id}-home`);
    await bottle.sh("echo mine > ~/note");
    const { DOCKER_HOST = "" } = operator.env;
    const socket = DOCKER_HOST.slice("unix://".length);
    // What keeps them out must not be the luck of where the test has put all this.
    for (const folder of [dirname(socket), operator.root, operator.home, operator.runtime])
      chmodSync(folder, 0o755);
    const second = (...argv: readonly string[]) =>
      runProgram(["setpriv", "--reuid=61102", "--regid=61102", "--clear-groups", "--", ...argv], {
        env: { PATH: operator.env["PATH"] ?? "" },
      });
    expect(readdirSync(volume)).not.toEqual([]);
    for (const folder of [volume, join(operator.home, "state", id), join(operator.runtime, "bot-bottle", id)])
      expect(await second("ls", folder), folder).toMatchObject({ code: 2, stdout: "" });
    expect((await second("curl", "-sS", "--unix-socket", socket, "http://d/info")).code).toBe(7);
    for (const role of ["guest", "sidecars"]) {
      const pid = await docker("inspect", "--format", "{{.State.Pid}}", `bot-bottle-${id}-${role}`);
      expect((await second("kill", "-TERM", pid)).code, role).not.toBe(0);
      expect(await second("head", "-c", "1", `/proc/${pid}/environ`), role).toMatchObject({
        code: 1,
        stdout: "",
      });
    }
    expect(await bottle.sh("cat ~/note")).toBe("mine");
  });

  it("has its agent's server on the host's loopback by bottle port, and every byte of a long answer", async () => {
    const serve =
      'require("node:net").createServer((s) => s.on("error", () => {}).end("y".repeat(5e6))).listen(3004, "127.0.0.1")';
    await bottle.sh(`node -e '${serve}' >/dev/null 2>&1 &`);
    const port = spawn(process.execPath, [BOTTLE, "port", bottle.id, "0:3004", "--json"], {
      env: operator.env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const closed = new Promise((resolve) => port.once("close", resolve));
    try {
      let said = "";
      port.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      await eventually("its port", () => said.endsWith("}\n") || undefined);
      const { local, host } = JSON.parse(said) as { local: number; host: string };
      expect(host).toBe("127.0.0.1");
      const answer = () => runProgram(["curl", "-sS", "--http0.9", `http://127.0.0.1:${local}/`], operator);
      // Its server may not listen yet.
      await eventually("all of it", async () => (await answer()).stdout.length === 5e6 || undefined);
    } finally {
      port.kill("SIGINT");
      await closed;
    }
  });

  long(
    `refuses what its keeper has no file descriptors for, and serves again once there are some${inSoak}`,
    async () => {
      const limits = readFileSync(`/proc/${bottle.keeper}/limits`, "utf8");
      const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
      const limitTo = (most: number | string | undefined) =>
        runOk(["prlimit", `--pid=${bottle.keeper}`, `--nofile=${most}:${hard}`]);
      await limitTo(freeDescriptor(bottle.keeper));
      const tries = await Promise.all(Array.from({ length: 6 }, () => bottle.exec("echo", "here")));
      await limitTo(soft);
      for (const { code, stdout, stderr } of tries) {
        if (code === 0) expect(stdout).toBe("here\n");
        else expect(stderr).toMatch(/error: \S/);
      }
      expect(tries.filter(({ code }) => code !== 0)).not.toEqual([]);
      expect(await bottle.sh("echo here")).toBe("here");
    },
  );

  long(
    `that hangs is ended by bottle stop within its deadline, and has its home again${inSoak}`,
    async () => {
      await bottle.sh("echo before > ~/hung");
      const { stdout } = await runOk(["docker", "top", `bot-bottle-${bottle.id}-guest`, "-eo", "pid"], {
        env: operator.env,
      });
      const pids = stdout.toString().split("\n").slice(1).map(Number).filter(Boolean);
      expect(pids.length).toBeGreaterThan(1);
      for (const pid of pids) process.kill(pid, "SIGSTOP");
      expect((await bottle.stop()).code).toBe(0);
      expect(await named(bottle.id)).toBe(`bot-bottle-${bottle.id}-home`);
      const resumed = await operator.bottle(["resume", bottle.id, "--detach", "--yes"], {
        timeoutMs: 100_000,
      });
      expect(resumed.code, resumed.stderr).toBe(0);
      bottle = await operator.adopt(bottle.id);
      expect(await bottle.sh("cat ~/hung")).toBe("before");
    },
    150_000,
  );

  it("refuses at once while egress is down, and serves again after it was started anew", async () => {
    const sidecars = `bot-bottle-${bottle.id}-sidecars`;
    const pids = await docker(
      "exec",
      sidecars,
      "sh",
      "-c",
      "grep -l egress /proc/[0-9]*/cmdline | cut -d/ -f3",
    );
    for (const pid of pids.split("\n")) await docker("exec", sidecars, "sh", "-c", `kill -9 ${pid} || :`);
    await bottle.logged(({ event }) => event === "egress.restarted");
    for (let attempt = 0; attempt < 50; attempt++) {
      if ((await bottle.sh("curl -sS https://allowed.test/ || :")) === HELLO.trim()) break;
      await pause(100);
    }
    expect(await bottle.sh("curl -sS https://allowed.test/")).toBe(HELLO.trim());
  });

  it("is frozen and goes on", async () => {
    expect((await operator.bottle(["freeze", bottle.id])).code).toBe(0);
    expect(await docker("inspect", "--format", "{{.State.Status}}", `bot-bottle-${bottle.id}-guest`)).toBe(
      "paused",
    );
    expect((await operator.bottle(["thaw", bottle.id])).code).toBe(0);
    expect(await bottle.sh("echo on")).toBe("on");
  });

  it("keeps its home when it is stopped, has it again when it is resumed, and leaves nothing when it is removed", async () => {
    await bottle.sh("echo kept > ~/note");
    await bottle.stop();
    expect(await named(bottle.id)).toBe(`bot-bottle-${bottle.id}-home`);
    expect((await operator.bottle(["cleanup", "--json", "--yes"])).stdout).not.toContain("disk");
    const resumed = await operator.bottle(["resume", bottle.id, "--detach", "--yes"], { timeoutMs: 100_000 });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(await (await operator.adopt(bottle.id)).sh("cat ~/note")).toBe("kept");
    expect((await operator.bottle(["rm", "--force", bottle.id])).code).toBe(0);
    expect(await named(bottle.id)).toBe("");
  });

  it("killed with everything around it is found by name and removed", async () => {
    const doomed = await operator.start("contained", [], { timeoutMs: 100_000 });
    process.kill(doomed.keeper, "SIGKILL");
    const left = async (): Promise<string> => named(doomed.id);
    for (let attempt = 0; attempt < 100 && /-guest|-sidecars/.test(await left()); attempt++) await pause(100);
    // The containers end with the pipes that the keeper held.
    expect(await left()).not.toMatch(/-guest|-sidecars/);
    // What an engine has forgotten the labels of: it was killed while it made it.
    await docker("volume", "create", `bot-bottle-${doomed.id}-bare`);
    const { stdout } = await operator.bottle(["cleanup", "--dry-run", "--json"]);
    expect(stdout).toContain(`bot-bottle-${doomed.id}-bare`);
    expect((await operator.bottle(["rm", "--force", doomed.id])).code).toBe(0);
    expect(await left()).toBe("");
  });

  it("is found and removed by its labels alone, and nothing of another home's with it", async () => {
    const doomed = await operator.start("contained", [], { timeoutMs: 100_000 });
    process.kill(doomed.keeper, "SIGKILL");
    await eventually("its keeper's end", () => (isAlive(doomed.keeper) ? undefined : true));
    await removeTree(join(operator.home, "state", doomed.id));
    const foreign = ["bot-bottle-older-abcde-home", "bot-bottle-other-abcde-home"] as const;
    await docker("volume", "create", "--label", "bot-bottle.id=older-abcde", foreign[0]);
    await docker(
      ...["volume", "create", "--label", "bot-bottle.id=other-abcde", "--label", "bot-bottle.home=0123"],
      foreign[1],
    );
    // Whoever fills the volume of our programs was killed while it did; one other is at it.
    const volumes = await docker("volume", "ls", "--filter", "label=bot-bottle.runtime", "--quiet");
    const [volume = ""] = volumes.split("\n");
    const makers = [`${volume}-4194304-ab`, `${volume}-${process.pid}-${await ownProcessStart()}`] as const;
    for (const maker of makers)
      await docker(
        "create",
        "--name",
        maker,
        "--label",
        "bot-bottle.runtime=1",
        operator.env["BOT_BOTTLE_IMAGE_BASE"] ?? "",
        "true",
      );
    const { stdout } = await operator.bottle(["cleanup", "--dry-run", "--json"]);
    const found = JSON.parse(stdout) as { bottle: string; kind: string }[];
    expect(new Set(found.map(({ bottle }) => bottle))).toEqual(new Set([doomed.id]));
    expect(found.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["network", "volume", "disk"]));
    const listed = async (): Promise<readonly Record<string, unknown>[]> =>
      JSON.parse((await operator.bottle(["list", "--json"])).stdout) as Record<string, unknown>[];
    expect(await listed()).toMatchObject([
      { id: doomed.id, agent: "contained", backend: "docker", state: "orphaned" },
    ]);
    expect((await listed())[0]?.["trouble"]).toMatch(
      /^its state directory is gone, and not .*\bnetwork\b.*\bdisks?\b.*: bottle cleanup removes them$/,
    );
    const { code, stderr } = await operator.bottle(["cleanup", "--yes"]);
    expect(code, stderr).toBe(0);
    expect(await listed()).toEqual([]);
    expect(await named(doomed.id)).toBe("");
    expect(await named(volume)).toBe(`${volume} ${makers[1]}`);
    await docker("rm", makers[1]);
    expect((await operator.bottle(["cleanup", "--dry-run"])).stderr).toContain("nothing was left behind");
    expect(await named("abcde")).toBe(foreign.join(" "));
    await docker("volume", "rm", ...foreign);
  });
});
