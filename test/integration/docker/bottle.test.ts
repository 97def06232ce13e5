/** Whole bottles on the docker backend: a real engine, the built command, sidecars in their container. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownProcessStart } from "../../../src/lib/process-start.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { HELLO } from "../../doubles/upstreams.ts";
import { type ContainedSite, startContainedSite } from "../../support/contained-site.ts";
import { engineLack } from "../../support/docker-engine.ts";
import { IDLE, pause, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";
import { searchHost } from "../../support/real-host.ts";

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: whole bottles on docker: ${lack}`);

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
    operator.agent("contained", { agent_provider: IDLE, backend: "docker", supervise: true, egress });
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
  }, 60_000);

  it("reaches it without the proxy too, and is told why it reaches no other", async () => {
    const direct =
      "node -e 'fetch(process.argv[1]).then(async (r) => console.log(await r.text()))' https://allowed.test/";
    expect(await bottle.sh(`env -u HTTPS_PROXY -u https_proxy -u NODE_USE_ENV_PROXY ${direct}`)).toBe(
      HELLO.trim(),
    );
    expect(await bottle.sh("curl -sS https://elsewhere.test/ 2>&1 || :")).toMatch(/403|denied/);
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
    const { code, stderr } = await operator.bottle(["cleanup", "--yes"]);
    expect(code, stderr).toBe(0);
    expect(await named(doomed.id)).toBe("");
    expect(await named(volume)).toBe(`${volume} ${makers[1]}`);
    await docker("rm", makers[1]);
    expect((await operator.bottle(["cleanup", "--dry-run"])).stderr).toContain("nothing was left behind");
    expect(await named("abcde")).toBe(foreign.join(" "));
    await docker("volume", "rm", ...foreign);
  });
});
