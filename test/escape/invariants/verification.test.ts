/**
 * I7: a guest that can reach more than its link never runs the agent. Guests here are real ones with a real
 * hole, made by hand: the host's network, somebody who answers where nobody may, a system whose tools betray us.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createInitGuest } from "../../../src/backends/init-guest.ts";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { GUEST_INIT, layoutRoot } from "../../../src/backends/namespace/root-layout.ts";
import type { Guest, Link } from "../../../src/contract/backend.ts";
import { GUEST } from "../../../src/contract/backend.ts";
import { createGuestClient, guestSocket } from "../../../src/jail/guest-client.ts";
import { hostUidOf } from "../../../src/jail/host-uid.ts";
import { holdJail } from "../../../src/jail/jail.ts";
import { makeSkeleton } from "../../../src/jail/skeleton.ts";
import { verifyIsolation } from "../../../src/keeper/verification.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { planFor } from "../../support/bottle-guest.ts";
import { createRealOperator, isRoot, type RealOperator, shell } from "../../support/real-bottle.ts";

let folder: string;
let scope: Scope;
let others: ChildProcess[] = [];

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "bbv-")));
  chmodSync(folder, 0o755);
});
afterAll(() => removeTree(folder));
afterEach(async () => {
  for (const other of others) other.kill("SIGKILL");
  others = [];
  await scope?.close();
});

async function listening(server: Server, path: string | number): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** What the backend makes, but for the one word that gives it a network of its own. */
async function guestInTheHostsNetwork(id: string): Promise<Guest> {
  const [root, home, socketPath] = [join(folder, id), join(folder, `${id}-home`), join(folder, `${id}.sock`)];
  await mkdir(home, { mode: 0o755 });
  const layout = layoutRoot({ homeDir: home, hostname: id, tools: [], mounts: [], directHosts: [] });
  const binds = await makeSkeleton({
    root,
    user: { name: GUEST.user, uid: GUEST.uid, home: GUEST.home },
    hostname: id,
    etc: layout.etc,
    binds: layout.binds,
  });
  // Closing it removes the name it was bound to, and not the one it has now.
  const control = await listening(createServer(), `${socketPath}~`);
  renameSync(`${socketPath}~`, socketPath);
  const { fd } = (control as unknown as { _handle: { fd: number } })._handle;
  const jail = await holdJail({
    name: "the guest",
    binds,
    network: "host",
    hostUid: hostUidOf(id, "guest"),
    uid: GUEST.uid,
    cwd: GUEST.home,
    env: { HOME: GUEST.home },
    argv: [layout.node, GUEST_INIT],
    startsPrograms: true,
    tmpBytes: 1024 * 1024,
    extraFds: [fd],
  });
  scope.defer("guest", () => jail.kill());
  control.close();
  const client = createGuestClient(guestSocket(socketPath));
  jail.enter();
  control.close();
  await client.watch();
  return createInitGuest({ client, ended: jail.ended, copyInAsRoot: async () => {}, env: {} });
}

/** A guest of the backend's; `meddle` gets to its network before anything of it runs. */
async function guestOfTheBackend(id: string, meddle: (initPid: number) => Promise<void> = async () => {}) {
  const plan = planFor(namespaceBackend);
  const [stateDir, runtimeDir] = [join(folder, id), join(folder, `${id}-run`)];
  await mkdir(stateDir);
  await mkdir(runtimeDir);
  const prepared = await namespaceBackend.prepare({ plan, tools: [] }, () => {});
  const link = await namespaceBackend.reserve(
    prepared,
    { id, plan, stateDir, runtimeDir, services: ["egress"] },
    scope,
  );
  const listen = link.endpoints.egress?.listen;
  const listeners = listen?.kind === "inherited" ? [...(await listen.open()).values()] : [];
  const hangUp = (): void => {
    for (const listener of listeners) listener.close();
  };
  scope.defer("egress", hangUp);
  await meddle((link as unknown as { jail: { initPid: number } }).jail.initPid);
  const guest = await namespaceBackend.boot(prepared, link, { plan, env: {} }, scope);
  return { guest, link, hangUp };
}

/** Words that run what follows in the network of `initPid`. */
function inNetworkOf(initPid: number): readonly string[] {
  const user = isRoot ? [] : ["--user", "--preserve-credentials"];
  return [...user, "--net", "--target", String(initPid), "--"];
}

/** A way out behind which every packet is lost: what a firewall that drops looks like from inside. */
async function dropEverything(initPid: number): Promise<void> {
  await runOk(["nsenter", ...inNetworkOf(initPid), "ip", "route", "add", "default", "dev", "lo"]);
}

/** Answers at every place that a launch asks about, in the network of `initPid`. */
async function answerEverywhere(initPid: number): Promise<void> {
  const program = `
    const { execFileSync } = require("node:child_process");
    const { createServer } = require("node:net");
    const { createSocket } = require("node:dgram");
    for (const address of ["1.1.1.1", "8.8.8.8", "169.254.169.254", "10.0.0.1", "192.168.1.1", "2606:4700:4700::1111"])
      execFileSync("ip", ["addr", "add", address, "dev", "lo", ...(address.includes(":") ? ["nodad"] : [])]);
    const tcp = [["1.1.1.1", 443], ["8.8.8.8", 53], ["169.254.169.254", 80], ["10.0.0.1", 80], ["2606:4700:4700::1111", 443]];
    const udp = [["1.1.1.1", 53], ["192.168.1.1", 53], ["127.0.0.53", 53]];
    Promise.all([
      ...tcp.map(([host, port]) => new Promise((resolve) => createServer((socket) => socket.destroy()).listen(port, host, resolve))),
      ...udp.map(([host, port]) => new Promise((resolve) => {
        const socket = createSocket("udp4", (message, from) => socket.send(message, from.port, from.address));
        socket.bind(port, host, resolve);
      })),
    ]).then(() => console.log("there"));
  `;
  const other = spawn("nsenter", [...inNetworkOf(initPid), process.execPath, "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  others.push(other);
  await new Promise<void>((resolve, reject) => {
    other.stdout.once("data", () => resolve());
    other.once("exit", (code) => reject(new Error(`nobody answers: exit ${code}`)));
  });
}

const hostAddresses = (): readonly string[] =>
  Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => address);

/** Engines' bridges come and go on a host: what was there all the while must be seen, and what was not may be. */
async function watchingAddresses<T>(work: Promise<T>) {
  const before = hostAddresses();
  const seen = await work;
  const after = hostAddresses();
  const steady = before.filter((address) => after.includes(address));
  const passing = [...before, ...after].filter((address) => !steady.includes(address));
  const isOfPassing = (text: string): boolean => passing.some((address) => text.includes(` ${address}:`));
  return { seen, steady, isOfPassing };
}

describe("I7: verification, of a real guest", () => {
  it("finds nothing wrong with a guest of the backend's", async () => {
    scope = createScope();
    const { guest, link } = await guestOfTheBackend("sound-00000");
    expect((await verifyIsolation(guest, link)).surprises).toEqual([]);
  });

  it("names the host's listeners, on the loopback and on every address, in the host's network", async () => {
    scope = createScope();
    const guest = await guestInTheHostsNetwork("open-00000");
    const service = await listening(
      createServer((socket) => socket.destroy()),
      0,
    );
    scope.defer("service", () => void service.close());
    const { port } = service.address() as { port: number };
    const link: Link = {
      endpoints: {
        egress: { listen: { kind: "tcp", host: "127.0.0.1", port }, guestUrl: `http://127.0.0.1:${port}` },
      },
      needsBearer: false,
    };
    const { seen, steady } = await watchingAddresses(verifyIsolation(guest, link));
    const { surprises, results } = seen;
    for (const address of ["127.0.0.1", ...steady]) {
      const canary = results.findLast(({ host }) => host === address);
      expect(surprises).toContain(`it can reach tcp ${address}:${canary?.port} (${canary?.outcome})`);
    }
  });

  it("names everybody who answers where nobody may, in the guest's own network", async () => {
    scope = createScope();
    const { guest, link } = await guestOfTheBackend("haunted-00000", answerEverywhere);
    const { surprises } = await verifyIsolation(guest, link);
    expect(surprises).toEqual([
      "it can reach tcp 1.1.1.1:443 (answered)",
      "it can reach udp 1.1.1.1:53 (answered)",
      "it can reach tcp 8.8.8.8:53 (answered)",
      "it can reach tcp 169.254.169.254:80 (answered)",
      "it can reach tcp 10.0.0.1:80 (answered)",
      "it can reach udp 192.168.1.1:53 (answered)",
      "it can reach udp 127.0.0.53:53 (answered)",
      "it can reach tcp 2606:4700:4700::1111:443 (answered)",
    ]);
  });

  it("names every place that packets leave for, although nothing ever comes back", async () => {
    scope = createScope();
    const { guest, link } = await guestOfTheBackend("leaky-00000", dropEverything);
    const { seen, steady, isOfPassing } = await watchingAddresses(verifyIsolation(guest, link));
    expect(seen.surprises.filter((text) => !isOfPassing(text))).toEqual([
      "it may have a way to tcp 1.1.1.1:443 (timeout)",
      "it may have a way to udp 1.1.1.1:53 (timeout)",
      "it may have a way to tcp 8.8.8.8:53 (timeout)",
      "it may have a way to tcp 169.254.169.254:80 (timeout)",
      "it may have a way to tcp 10.0.0.1:80 (timeout)",
      "it may have a way to udp 192.168.1.1:53 (timeout)",
      ...steady.map((address): unknown =>
        expect.stringMatching(new RegExp(`^it may have a way to tcp ${address}:\\d+ \\(timeout\\)$`)),
      ),
    ]);
  });

  it("names a link that does not answer", async () => {
    scope = createScope();
    const { guest, link, hangUp } = await guestOfTheBackend("mute-00000");
    hangUp();
    expect((await verifyIsolation(guest, link)).surprises).toEqual([
      ...[9099, 443, 80].map((port) => `its link does not answer: tcp 127.0.0.1:${port} (ECONNREFUSED)`),
    ]);
  });
});

describe("I7: a launch", () => {
  let operator: RealOperator;
  beforeAll(async () => {
    operator = await createRealOperator();
    operator.agent("runner", { agent_provider: shell("echo the agent ran; touch ran") });
  });
  afterAll(() => operator.remove());

  /** Runs `bottle start` where one of the system's programs is another. */
  async function withProgram(name: string, script: (real: string) => string) {
    const tools = mkdtempSync(join(tmpdir(), "bbt-"));
    chmodSync(tools, 0o755);
    const found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map((at) => join(at, name)).find(existsSync);
    const path = realpathSync(found ?? expect.fail(`no ${name}`));
    const real = join(tools, `real-${name}`);
    copyFileSync(path, real);
    writeFileSync(join(tools, name), `#!/bin/sh\n${script(real)}\n`);
    chmodSync(join(tools, name), 0o755);
    try {
      return await operator.bottle(["start", "runner", "--prompt", "go"], {
        wrapper: [
          "unshare",
          "--mount",
          "--propagation",
          "private",
          "sh",
          "-c",
          'mount --bind "$1" "$2"; shift 2; exec "$@"',
          "sh",
          join(tools, name),
          path,
        ],
      });
    } finally {
      rmSync(tools, { recursive: true });
    }
  }

  function expectNoAgent(run: { code: number | null; stdout: string }): void {
    expect(run.code).toBe(1);
    expect(run.stdout).toBe("");
  }

  it.runIf(isRoot)(
    "is refused, by name of what was reached, when the guest's network has a way out",
    async () => {
      const run = await withProgram("ip", (real) => {
        const listener = `require("net").createServer((s) => s.destroy()).listen(80, "10.0.0.1")`;
        return [
          `${real} "$@" || exit`,
          `${real} addr add 10.0.0.1/32 dev lo`,
          "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
          // Without a capability, with which it would be found before anybody is asked.
          `setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs ${process.execPath} -e '${listener}' 3>&- 4>&- 5>&- >/dev/null 2>&1 &`,
          // Port 80, once somebody listens there.
          `for i in $(seq 100); do grep -q ":0050 .* 0A " /proc/net/tcp && break; sleep 0.05; done`,
        ].join("\n");
      });
      expectNoAgent(run);
      expect(run.stderr).toContain("the guest is not isolated, so no agent was started");
      expect(run.stderr).toContain("it can reach tcp 10.0.0.1:80 (answered)");
      const events = onlyLog();
      expect(events).toContainEqual(
        expect.objectContaining({
          event: "bottle.verified",
          data: expect.objectContaining({ isolated: false }),
        }),
      );
      expect(events.map(({ event }) => event)).not.toContain("agent.started");
      expect(events.map(({ event }) => event)).not.toContain("bottle.ready");
      expect(JSON.parse((await operator.bottle(["list", "--json"])).stdout)).toEqual([]);
    },
  );

  it.runIf(isRoot)(
    "is refused when the guest's network has a way out that swallows every packet",
    async () => {
      const run = await withProgram("ip", (real) =>
        [`${real} "$@" || exit`, `${real} route add default dev lo`].join("\n"),
      );
      expectNoAgent(run);
      expect(run.stderr).toContain("the guest is not isolated, so no agent was started");
      expect(run.stderr).toContain("it may have a way to tcp 1.1.1.1:443 (timeout)");
      expect(JSON.parse((await operator.bottle(["list", "--json"])).stdout)).toEqual([]);
    },
  );

  it.runIf(isRoot)("is refused when the guest is left in the host's network", async () => {
    const run = await withProgram(
      "unshare",
      (real) => `for word; do shift; [ "$word" = --net ] || set -- "$@" "$word"; done; exec ${real} "$@"`,
    );
    expectNoAgent(run);
    expect(run.stderr).toMatch(/not isolated|shares the host's net|cannot listen|Operation not permitted/);
    expect(JSON.parse((await operator.bottle(["list", "--json"])).stdout)).toEqual([]);
  });

  it("control: it runs the agent where the system is as it should be", async () => {
    const run = await operator.bottle(["start", "runner", "--prompt", "go"]);
    expect(run).toMatchObject({ code: 0, stdout: "the agent ran\n" });
  });

  it("is refused where the bottle asks for more isolation than there is, whoever asks for the backend", async () => {
    operator.agent("demanding", { agent_provider: shell("echo the agent ran"), isolation: "vm" });
    for (const [args, env] of [
      [[], {}],
      [["--dry-run"], {}],
      [["--backend", "namespace"], {}],
      [[], { BOT_BOTTLE_BACKEND: "namespace" }],
    ] as const) {
      const run = await operator.bottle(["start", "demanding", "--prompt", "go", ...args], { env });
      expectNoAgent(run);
      expect(run.stderr).toContain("the bottle asks for isolation vm, and namespace gives namespace");
    }
    expect((await operator.bottle(["start", "demanding", "--backend", "qemu", "--prompt", "go"])).code).toBe(
      1,
    );
  });

  function onlyLog() {
    const [name = ""] = readdirSync(join(operator.home, "audit")).filter(
      (entry) => entry.startsWith("runner-") && entry.endsWith(".jsonl"),
    );
    return operator.log(name.slice(0, -".jsonl".length));
  }
});
