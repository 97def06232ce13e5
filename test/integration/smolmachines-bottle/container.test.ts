/** Whole bottles in machines of smolvm's whose bundle is in a container: a real engine, the built command. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALIASES } from "../../../src/backends/smolmachines/alias.ts";
import { probeTargets } from "../../../src/jail/guest-probe.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { type ContainedSite, startContainedSite } from "../../support/contained-site.ts";
import { engineLack } from "../../support/docker-engine.ts";
import { call } from "../../support/mcp-in-bottle.ts";
import { realPid } from "../../support/pid-of.ts";
import { installPipelock } from "../../support/pipelock.ts";
import { drawn } from "../../support/random.ts";
import { IDLE, pause, type RealBottle, shell } from "../../support/real-bottle.ts";
import { searchHost } from "../../support/real-host.ts";
import { because, installSmolvm } from "../../support/smolvm.ts";

const lack = engineLack() ?? (existsSync("/dev/kvm") ? undefined : "there is no /dev/kvm");
if (lack !== undefined) console.warn(`SKIPPED: a bundle in a container beside a machine: ${lack}`);

describe.skipIf(lack !== undefined)(`a machine whose bundle is in a container${because(lack)}`, () => {
  let world: ContainedSite;
  let folder = "";

  const env = (version: string): Record<string, string> => ({
    PATH: `${installSmolvm(folder, version)}:${process.env["PATH"]}`,
  });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbp-"));
    world = await startContainedSite();
    const { operator, egress } = world;
    const manifest = { backend: "smolmachines", bundle: "container", supervise: true, egress };
    operator.agent("contained", { ...manifest, agent_provider: IDLE });
    operator.agent("hello", { ...manifest, agent_provider: shell("echo hello-from-vm") });
  }, 300_000);
  afterAll(async () => {
    await world?.close();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  describe.each(drawn("bundles in a container", ["1.8.0", "1.9.3"], 1))("of smolvm %s", (version) => {
    let bottle: RealBottle;
    beforeAll(async () => {
      bottle = await world.operator.start("contained", [], { env: env(version), timeoutMs: 200_000 });
    }, 240_000);

    it("reaches an allowed host with a credential that neither the guest nor the engine knows", async () => {
      const said = await bottle.sh("curl -sS https://allowed.test/echo; env");
      expect(said).toContain(`"/echo"`);
      expect(world.site.requests.at(-1)?.headers).toMatchObject({ authorization: `Bearer ${world.token}` });
      expect(said).not.toContain(world.token);
      expect(await world.docker("inspect", `bot-bottle-${bottle.id}-sidecars`)).not.toContain(world.token);
      expect(await bottle.sh("curl -sS https://elsewhere.test/")).toContain("host-not-allowed");
    });

    it("has no credential in any argument, environment, database, log or file on the host", () => {
      const state = join(world.operator.home, "state", bottle.id);
      expect(searchHost({ token: world.token }, world.since, { more: [state] })).toEqual([]);
    }, 180_000);

    it("is refused without the bottle's bearer, and has its link and nothing else: the bundle's unpublished port is unreachable", async () => {
      const bare = await bottle.sh(`curl -s --proxy "http://\${HTTP_PROXY#*@}" http://allowed.test/`);
      expect(bare).toContain("bearer-required");
      // Neither what is published on the bottle's address nor what else there is, all of which this host reaches.
      const name = `bot-bottle-${bottle.id}-sidecars`;
      const published = await world.docker("port", name);
      const [, host = "", port = ""] = /-> (127\.0\.0\.\d+):(\d+)/.exec(published) ?? [];
      expect(ALIASES).toContain(host);
      const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
      const unpublished = `${await world.docker("inspect", "--format", format, name)}:9099`;
      const beside = [await listen("127.0.0.1"), await listen(host)];
      try {
        const places = [`${host}:${port}`, unpublished, ...beside.map(({ place }) => place)];
        for (const place of places) {
          expect(await answersTo(place), place).toBe("answered");
          const words = ["-s", "--noproxy", "*", "--max-time", "3", `http://${place}/`];
          expect((await bottle.exec("curl", ...words)).code, place).toBe(7);
        }
      } finally {
        for (const { close } of beside) close();
      }
      expect(bottle.log().find(({ event }) => event === "bottle.verified")?.data["isolated"]).toBe(true);
    });

    it("asks supervise, by the same way", async () => {
      const { told } = await call(bottle, "list_capabilities", {});
      expect(JSON.stringify(told)).toContain("allowed.test");
    });

    it("has one of its sidecars restarted while its siblings keep their pids", async () => {
      const [egress, supervise] = [await bottle.sidecar("egress"), await bottle.sidecar("supervise")];
      await world.docker("exec", `bot-bottle-${bottle.id}-sidecars`, "kill", "-9", String(egress));
      await bottle.logged(({ event }) => event === "egress.restarted");
      expect(await bottle.sidecar("egress")).not.toBe(egress);
      expect(await bottle.sidecar("supervise")).toBe(supervise);
      expect(await bottle.sh("curl -sS https://allowed.test/echo")).toContain(`"/echo"`);
    });

    it("leaves neither container nor network, machine nor address when it is stopped", async () => {
      expect(await world.named(bottle.id)).toEqual([
        `bot-bottle-${bottle.id}-net`,
        `bot-bottle-${bottle.id}-sidecars`,
      ]);
      expect((await bottle.stop()).code).toBe(0);
      expect(await world.named(bottle.id)).toEqual([]);
    });
  });

  it("warns of its network while somebody else uses that, and cleanup removes it then", async () => {
    const bottle = await world.operator.start("contained", [], { env: env("1.9.3"), timeoutMs: 200_000 });
    const network = `bot-bottle-${bottle.id}-net`;
    const words = ["run", "--detach", "--rm", "--network", network, world.engine.base, "sleep", "600"];
    const other = await world.docker(...words);
    const stopped = await bottle.stop();
    expect(stopped.code).toBe(0);
    expect(stopped.stderr).toContain(`network ${network} stays: `);
    expect(await world.named(bottle.id)).toEqual([network]);
    await world.docker("rm", "--force", other);
    const cleaned = await world.operator.bottle(["cleanup", "--yes"], { env: env("1.9.3") });
    expect(cleaned, cleaned.stderr).toMatchObject({ code: 0 });
    expect(await world.named(bottle.id)).toEqual([]);
  }, 200_000);

  it("has its pipelock in the same container, or is told that there is none", async () => {
    const { operator, site, egress } = world;
    operator.agent("scanned", {
      backend: "smolmachines",
      bundle: "container",
      agent_provider: shell("curl -sS https://allowed.test/echo"),
      egress: {
        pipelock: true,
        upstream_ca: egress.upstream_ca,
        routes: [{ host: "allowed.test", auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" } }],
      },
    });
    const start = (path: string) =>
      operator.bottle(["start", "scanned", "--yes", "-p", "x"], { env: { PATH: path }, timeoutMs: 120_000 });
    const none = await start(env("1.9.3")["PATH"] ?? "");
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/neither this host nor the image bot-bottle-sidecars:\w+ has one/);
    const names = {
      "allowed.test:443": { at: "host.docker.internal", port: site.port, address: "93.184.216.34" },
    };
    const before = site.requests.length;
    const run = await start(`${installPipelock(folder, names)}:${env("1.9.3")["PATH"]}`);
    expect(run, run.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining(`"/echo"`) });
    expect(site.requests.slice(before).map(({ headers }) => headers["authorization"])).toEqual([
      `Bearer ${world.token}`,
    ]);
    expect(run.stderr).toContain("your pipelock");
  }, 200_000);

  it("boots an image that only the engine has, packed once, and leaves nothing of that anywhere", async () => {
    const { operator, docker } = world;
    const context = join(folder, "image");
    mkdirSync(join(context, "opt"), { recursive: true });
    writeFileSync(join(context, "opt/hello"), "hello-from-the-engine\n");
    const load = async (): Promise<void> => {
      await runOk(["tar", "-C", context, "--owner=0", "--group=0", "-cf", join(folder, "image.tar"), "opt"]);
      await docker("import", join(folder, "image.tar"), "my-agent:latest");
    };
    await load();
    operator.agent("imaged", {
      backend: "smolmachines",
      image: "docker-daemon:my-agent:latest",
      agent_provider: shell("cat /opt/hello"),
    });
    const engineHas = async (): Promise<readonly string[]> => {
      const listed = await Promise.all([
        docker("container", "ls", "--all", "--format", "container {{.Names}}"),
        docker("network", "ls", "--format", "network {{.Name}}"),
        docker("volume", "ls", "--format", "volume {{.Name}}"),
        docker("image", "ls", "--all", "--format", "image {{.ID}} {{.Repository}}:{{.Tag}}"),
      ]);
      return listed.flatMap((text) => text.split("\n")).sort();
    };
    const cache = join(folder, "cache");
    const start = () =>
      operator.bottle(["start", "imaged", "--yes", "-p", "x"], {
        env: { ...env("1.9.3"), BOT_BOTTLE_CACHE: cache },
        timeoutMs: 120_000,
      });
    const before = await engineHas();
    const first = await start();
    expect(first, first.stderr).toMatchObject({ code: 0, stdout: "hello-from-the-engine\n" });
    expect(first.stderr).toContain("smolvm packs docker-daemon:my-agent:latest");
    const second = await start();
    expect(second, second.stderr).toMatchObject({ code: 0, stdout: "hello-from-the-engine\n" });
    expect(second.stderr).not.toContain("packs");
    expect(second.stderr).not.toContain("reading my-agent");
    expect(await engineHas()).toEqual(before);
    expect(readdirSync(join(cache, "images/work"))).toEqual([]);
    // The same name, and another image.
    writeFileSync(join(context, "opt/hello"), "hello-again\n");
    await load();
    expect(await start()).toMatchObject({ code: 0, stdout: "hello-again\n" });
    await world.docker("image", "rm", "my-agent:latest");
    const gone = await start();
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain("has no image my-agent:latest");
  }, 200_000);

  it("says hello-from-vm", async () => {
    const run = await world.operator.bottle(["start", "hello", "--yes", "-p", "x"], {
      env: env("1.9.3"),
      timeoutMs: 120_000,
    });
    expect(run, run.stderr).toMatchObject({ code: 0, stdout: "hello-from-vm\n" });
    expect(run.stderr).toMatch(/sidecars +in a container/);
  });

  // At each step: lifecycle/faults, in a soak. Here, in between.
  it.each([500, 1_700])(
    "leaves nothing after cleanup, its keeper killed after %s ms",
    async (delay) => {
      const { operator, named } = world;
      expect(await named("bot-bottle-")).toEqual([]);
      const bottle = operator
        .start("contained", [], { env: env("1.9.3"), timeoutMs: 100_000 })
        .catch(() => undefined);
      await pause(delay);
      for (const pid of keepersOf(operator.home)) process.kill(realPid(pid), "SIGKILL");
      await bottle;
      const cleaned = await operator.bottle(["cleanup", "--yes"], { env: env("1.9.3") });
      expect(cleaned, cleaned.stderr).toMatchObject({ code: 0 });
      expect(await named("bot-bottle-")).toEqual([]);
    },
    100_000,
  );
});

async function listen(host: string): Promise<{ readonly place: string; close(): void }> {
  const server = createServer((socket) => socket.on("error", () => {}).end());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { place: `${host}:${port}`, close: () => void server.close() };
}

/** From this host. */
async function answersTo(place: string): Promise<string | undefined> {
  const [host = "", port = ""] = place.split(":");
  const [result] = await probeTargets([{ host, port: Number(port), transport: "tcp" }], 5_000);
  return result?.outcome;
}

function keepersOf(home: string): readonly number[] {
  const has = (pid: string, file: string, text: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "utf8").includes(text);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => has(pid, "cmdline", "bottle.js\0keeper") && has(pid, "environ", home))
    .map(Number);
}
