/** The bundle's container on a real engine. */
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BundleContainer, runBundleContainer } from "../../../src/bundle/container.ts";
import { ensureSidecarsImage } from "../../../src/bundle/container-image.ts";
import type { SidecarName } from "../../../src/contract/backend.ts";
import type { NetworkSpec } from "../../../src/engine/commands.ts";
import {
  ensureNetwork,
  isRunning,
  listNames,
  removeNetwork,
  usedSubnets,
} from "../../../src/engine/engine.ts";
import { run, runOk } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { engineLack, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { because } from "../../support/smolvm.ts";

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: the bundle's container: ${lack}`);

const ID = "t-bundle-abcde";
const NETWORK: NetworkSpec = {
  name: `bot-bottle-${ID}-net`,
  subnet: "192.168.213.0/24",
  gateway: "192.168.213.1",
  labels: { "bot-bottle.id": ID },
};
const ADDRESS = "192.168.213.2";
const ALIAS = "127.0.0.16";
const GATE_UID = 4_321;

describe.skipIf(lack !== undefined)(`the bundle's container${because(lack)}`, () => {
  let engine: TestEngine;
  let image: string;
  beforeAll(async () => {
    engine = await startEngine();
    image = await ensureSidecarsImage(engine, () => {});
  }, 300_000);
  afterAll(() => engine?.close());

  const docker = async (...words: string[]): Promise<string> =>
    (await runOk(["docker", ...words], { env: engine.env })).stdout.toString().trim();

  async function within(
    daemons: readonly SidecarName[],
    use: (bundle: BundleContainer, scope: Scope) => Promise<void>,
  ): Promise<void> {
    const scope = createScope();
    try {
      await ensureNetwork(engine, NETWORK);
      scope.defer("network", async () => void (await removeNetwork(engine, NETWORK.name)));
      const bundle = await runBundleContainer(
        engine,
        {
          ...{ id: ID, image, daemons, uid: GATE_UID },
          network: { kind: "named", name: NETWORK.name, address: ADDRESS },
          publish: daemons.includes("supervise") ? [{ on: ALIAS, port: 9100 }] : [],
        },
        scope,
      );
      await use(bundle, scope);
    } finally {
      await scope.close();
    }
  }

  it("is built once, from this package, and says so by its tag", async () => {
    const said: string[] = [];
    expect(await ensureSidecarsImage(engine, (text) => said.push(text))).toBe(image);
    expect(said).toEqual([]);
    expect(await docker("image", "inspect", "--format", "{{.Config.User}}", image)).toBe("0:0");
  });

  it("is built once by two who want it at once", async () => {
    // Another name of the base makes another image.
    await docker("tag", engine.base, "test-base:twice");
    const other = { ...engine, env: { ...engine.env, BOT_BOTTLE_IMAGE_BASE: "test-base:twice" } };
    const said: string[] = [];
    const want = (): Promise<string> => ensureSidecarsImage(other, (text) => said.push(text));
    const [one, two] = await Promise.all([want(), want()]);
    expect(one).toBe(two);
    expect(one).not.toBe(image);
    expect(said.filter((text) => text.startsWith("building"))).toEqual([`building the image ${one}`]);
  });

  it("a bundle with no daemons lands on its pinned address, idles there, and is gone with its scope", async () => {
    await within([], async (bundle) => {
      const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
      expect(await docker("inspect", "--format", format, bundle.name)).toBe(ADDRESS);
      await expect(bundle.start("egress")).rejects.toThrow("it may not be started");
    });
    expect(await listNames(engine, "container", `bot-bottle.id=${ID}`)).toEqual([]);
    expect(await usedSubnets(engine)).not.toContain(NETWORK.subnet);
  });

  it("serves what it is told over stdin, on the published port and on no other", async () => {
    await within(["supervise", "egress"], async (bundle) => {
      const { sidecar, ready } = await supervise(bundle);
      await ready;
      const port = await bundle.published({ on: ALIAS, port: 9100 });
      expect(await status(ALIAS, port)).toMatch(/^HTTP\/1\.1 401 /);
      // The engine's own answer is that nothing is published there.
      await expect(bundle.published({ on: ALIAS, port: 9099 })).rejects.toThrow(/9099/);
      await sidecar.kill();
      expect(await sidecar.ended).toContain("supervise ended (SIGKILL)");
    });
  });

  it("has no secret in what the engine knows, in an argv, or in an environment", async () => {
    await within(["supervise"], async (bundle) => {
      await (await supervise(bundle)).ready;
      const all = await docker("inspect", bundle.name);
      expect(all).not.toContain(BEARER);
      const inside = await docker(
        ...[
          "exec",
          bundle.name,
          "sh",
          "-c",
          "cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'",
        ],
      );
      expect(inside).toContain("bundle-init.mjs");
      expect(inside).not.toContain(BEARER);
    });
  });

  it("starts one again while its siblings keep their pids", async () => {
    await within(["supervise", "egress"], async (bundle) => {
      const first = await supervise(bundle);
      await first.ready;
      const sibling = await bundle.start("egress");
      await first.sidecar.kill();
      const again = await supervise(bundle);
      await again.ready;
      expect(again.sidecar.pid).not.toBe(first.sidecar.pid);
      expect(await docker("exec", bundle.name, "cat", `/proc/${sibling.pid}/cmdline`)).toContain("egress");
      expect(await status(ALIAS, await bundle.published({ on: ALIAS, port: 9100 }))).toMatch(/401/);
    });
  });

  it("can write nothing but its /tmp, and cannot gain a capability; its sidecars have none at all", async () => {
    await within(["egress", "supervise"], async (bundle) => {
      const egress = await bundle.start("egress");
      const look =
        "touch /opt/x /x 2>&1 | grep -c Read-only; touch /tmp/x && echo tmp; grep NoNewPrivs /proc/self/status";
      expect(await docker("exec", bundle.name, "sh", "-c", look)).toBe("2\ntmp\nNoNewPrivs:\t1");
      // CAP_KILL, CAP_SETGID and CAP_SETUID, of the init that has to start them.
      const capabilities = (pid: number | string) =>
        docker("exec", bundle.name, "sed", "-n", "s/^Cap\\(Eff\\|Prm\\|Amb\\):.//p", `/proc/${pid}/status`);
      expect(await capabilities("self")).toBe(["00000000000000e0", "00000000000000e0", NO_RIGHTS].join("\n"));
      expect(await capabilities(egress.pid)).toBe([NO_RIGHTS, NO_RIGHTS, NO_RIGHTS].join("\n"));
    });
  });

  it("gives each sidecar a user of its own, who reads nothing of another's memory or files", async () => {
    await within(["egress", "git-gate", "supervise"], async (bundle) => {
      const egress = await bundle.start("egress");
      const gate = await bundle.start("git-gate");
      const other = await bundle.start("supervise");
      const uidOf = ({ pid }: { readonly pid: number }) =>
        docker("exec", bundle.name, "stat", "--format", "%u:%g", `/proc/${pid}`);
      const [hers, its, theirs] = await Promise.all([uidOf(egress), uidOf(gate), uidOf(other)]);
      expect(its).toBe(`${GATE_UID}:${GATE_UID}`);
      expect(new Set([hers, its, theirs, "0:0"]).size).toBe(4);
      const as = async (user: string, text: string): Promise<string> =>
        (
          await run(["docker", "exec", "--user", user, bundle.name, "sh", "-c", `{ ${text}; } 2>&1`], {
            env: engine.env,
          })
        ).stdout.toString();
      const memory = `cat /proc/${egress.pid}/environ; head -c 1 /proc/${egress.pid}/maps; head -c 1 /proc/${egress.pid}/mem; ls /proc/${egress.pid}/fd`;
      expect(await as(hers, memory)).toMatch(/PATH=[\s\S]*Input\/output error/);
      for (const user of [its, theirs])
        expect((await as(user, memory)).match(/Permission denied/g)).toHaveLength(4);
      await as(hers, "umask 077; echo hers > /tmp/egress-file");
      expect(await as(hers, "cat /tmp/egress-file")).toBe("hers\n");
      expect(await as(its, `cat /tmp/egress-file; rm /tmp/egress-file; kill -9 ${egress.pid}`)).toMatch(
        /Permission denied[\s\S]*not permitted[\s\S]*(not permitted|No such process)/,
      );
    });
  });

  it("ends, with everything in it, when whoever holds its stdin is killed", async () => {
    await within(["supervise"], async (bundle) => {
      await (await supervise(bundle)).ready;
      const holders = readdirSync("/proc").filter(
        (pid) => argvOf(pid).includes(bundle.name) && argvOf(pid)[1] === "start",
      );
      expect(holders).toHaveLength(1);
      process.kill(Number(holders[0]), "SIGKILL");
      await bundle.ended;
      for (let attempt = 0; attempt < 100 && (await isRunning(engine, bundle.name)); attempt++)
        await pause(50);
      expect(await isRunning(engine, bundle.name)).toBe(false);
    });
  });

  it("ends politely on the engine's own stop, and says so", async () => {
    await within(["supervise"], async (bundle) => {
      const { sidecar, ready } = await supervise(bundle);
      await ready;
      await docker("stop", bundle.name);
      expect(await sidecar.ended).toBe("supervise ended (0)");
      expect(await bundle.ended).toContain("ended (0)");
    });
  });

  it("names a sidecar that does not exist, and does not come up", async () => {
    const scope = createScope();
    try {
      await ensureNetwork(engine, NETWORK);
      const starting = runBundleContainer(
        engine,
        {
          ...{ id: ID, image, uid: GATE_UID, daemons: ["mailer" as SidecarName] },
          network: { kind: "named", name: NETWORK.name, address: ADDRESS },
        },
        scope,
      );
      await expect(starting).rejects.toThrow(/BOT_BOTTLE_SIDECAR_DAEMONS names mailer/);
    } finally {
      await scope.close();
      await removeNetwork(engine, NETWORK.name);
    }
  });
});

const NO_RIGHTS = "0".repeat(16);
const BEARER = ["bearer", "of", "this", "test"].join("-").repeat(2);

/** Started and told its configuration as the keeper does. */
async function supervise(bundle: BundleContainer) {
  const sidecar = await bundle.start("supervise");
  const config = {
    bottle: ID,
    listen: { kind: "tcp", host: "0.0.0.0", port: 9100 },
    bearer: BEARER,
    hosts: [ALIAS],
    policy: { capabilities: { routes: [], repos: [] }, secrets: [], now: 0, requests: [], frozen: false },
  };
  const ready = new Promise<string>((resolve) => {
    sidecar.stdout.on("data", (chunk: Buffer) => {
      const text = chunk.toString();
      if (text.includes('"ready"')) resolve(text);
    });
  });
  sidecar.stdin.write(`${JSON.stringify({ type: "config", config })}\n`);
  return { sidecar, ready };
}

function status(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () =>
      socket.write(`GET /mcp HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`),
    );
    socket.on("error", reject);
    socket.once("data", (chunk) => {
      resolve(chunk.toString().split("\r\n")[0] ?? "");
      socket.destroy();
    });
  });
}

function argvOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
