/** I1, through the whole product: what an agent can reach from inside a bottle that was started as any other. */
import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";

/** Prints one JSON object of what answers; it is the bottle's agent. */
const LOOK_AROUND = `
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";

function reach(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(10_000, () => (socket.destroy(), resolve("silent")));
    socket.on("error", (error) => resolve(error.code));
    socket.on("connect", () => {
      // A port of its own choosing that it then connects to: nobody is there but itself.
      const itself = socket.localPort === port && socket.localAddress === socket.remoteAddress;
      socket.destroy();
      resolve(itself ? "itself" : "answered");
    });
  });
}

async function scan(host) {
  const counts = {}, answered = [];
  let next = 1;
  await Promise.all(Array.from({ length: 256 }, async () => {
    while (next <= 65535) {
      const port = next++;
      const outcome = await reach(host, port);
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      if (outcome === "answered" || outcome === "silent") answered.push(port);
    }
  }));
  return { counts, answered };
}

function udp(host, port) {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const end = (outcome) => { clearTimeout(timer); socket.close(); resolve(outcome); };
    const timer = setTimeout(() => end("silent"), 1500);
    socket.on("error", (error) => end(error.code));
    socket.on("message", () => end("answered"));
    socket.connect(port, host, (error) => error ? end(error.code) : socket.send(Buffer.from("b077010000010000000000000000020001", "hex")));
  });
}

const { addresses, tcpPort, udpPort } = JSON.parse(process.argv[2]);
const elsewhere = {};
for (const host of addresses) elsewhere["tcp " + host] = await reach(host, tcpPort);
for (const host of ["127.0.0.1", ...addresses]) elsewhere["udp " + host] = await udp(host, udpPort);
const dns = {};
for (const host of ["127.0.0.1", "127.0.0.53", "::1", "1.1.1.1"]) dns[host] = await udp(host, 53);
console.log(JSON.stringify({
  interfaces: Object.keys(networkInterfaces()),
  v4: await scan("127.0.0.1"),
  v6: await scan("::1"),
  elsewhere,
  dns,
}));
`;

interface Seen {
  readonly interfaces: readonly string[];
  readonly v4: { readonly counts: Readonly<Record<string, number>>; readonly answered: readonly number[] };
  readonly v6: Seen["v4"];
  readonly elsewhere: Readonly<Record<string, string>>;
  readonly dns: Readonly<Record<string, string>>;
}

/** Listeners of the host's on every address: an answer from any of them is an escape. */
async function hostCanaries() {
  const tcp: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => tcp.listen(0, "0.0.0.0", resolve));
  const udp = createSocket("udp4", (message, from) => udp.send(message, from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(0, "0.0.0.0", resolve));
  const address = tcp.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    tcpPort: address.port,
    udpPort: udp.address().port,
    close() {
      tcp.close();
      udp.close();
    },
  };
}

let operator: RealOperator;
let canaries: Awaited<ReturnType<typeof hostCanaries>>;

beforeAll(async () => {
  operator = await createRealOperator({ "look.mjs": LOOK_AROUND });
  canaries = await hostCanaries();
});
afterAll(async () => {
  canaries.close();
  await operator.remove();
});

const ownAddresses = (): readonly string[] =>
  Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => address);
const hostAddresses = ownAddresses();

/** The same program, run by a process of the given kind. */
async function lookAround(
  run: (argument: string) => Promise<{ stdout: string; stderr: string }>,
): Promise<Seen> {
  const { tcpPort, udpPort } = canaries;
  const { stdout, stderr } = await run(JSON.stringify({ addresses: hostAddresses, tcpPort, udpPort }));
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Seen;
}

describe("I1: from inside a started bottle", () => {
  it("finds of all TCP ports of the loopback only egress, no resolver, and nothing of the host", async () => {
    operator.agent("scout", {
      agent_provider: { template: "command", command: ["node", "look.mjs"] },
    });
    const seen = await lookAround((argument) =>
      operator.bottle(["start", "scout", "--cwd", "--prompt", argument]),
    );
    expect(seen.interfaces).toEqual(["lo"]);
    expect(seen.v4.answered).toEqual([80, 443, 9099]);
    expect(seen.v6.answered).toEqual([]);
    for (const { counts } of [seen.v4, seen.v6]) {
      const { ECONNREFUSED = 0, answered = 0, itself = 0 } = counts;
      expect(ECONNREFUSED + answered + itself).toBe(65_535);
    }
    expect(Object.values(seen.elsewhere).length).toBeGreaterThan(0);
    for (const outcome of [...Object.values(seen.elsewhere), ...Object.values(seen.dns)])
      expect(outcome).toMatch(/^(ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL|EHOSTUNREACH)$/);
  });

  it("control: the same program outside of a bottle reaches the host's listeners", async () => {
    const { runProgram } = await import("../../support/real-bottle.ts");
    const quick = LOOK_AROUND.replaceAll("65535", String(9_000)).replace('scan("::1")', "null");
    const seen = await lookAround((argument) =>
      runProgram([process.execPath, "--input-type=module", "-", argument], {
        env: operator.env,
        stdin: quick.replace("argv[2]", "argv.at(-1)"),
      }),
    );
    expect(seen.elsewhere["udp 127.0.0.1"]).toBe("answered");
    // Engines come and go meanwhile, and their bridges with them.
    const lasting = ownAddresses().filter((address) => hostAddresses.includes(address));
    expect(lasting.length).toBeGreaterThan(0);
    for (const address of lasting) expect(seen.elsewhere[`tcp ${address}`]).toBe("answered");
  });
});

describe("I1: two bottles at once", () => {
  let one: RealBottle;
  let other: RealBottle;
  beforeAll(async () => {
    for (const name of ["one", "other"]) {
      operator.agent(name, {
        agent_provider: IDLE,
        egress: {
          upstream_ca: [operator.caFile],
          routes: [{ host: `${name}.test`, connect_to: `127.0.0.1:${canaries.tcpPort}` }],
        },
      });
    }
    [one, other] = await Promise.all([operator.start("one"), operator.start("other")]);
  });

  it("share no egress: what only one may reach is denied to the other, whose log alone tells of it", async () => {
    const asked = await one.exec("curl", "-sS", "http://other.test/");
    expect(asked.stdout).toContain('"code":"host-not-allowed"');
    await one.logged(
      ({ event, data }) => event === "egress.denied" && String(data["target"]).includes("other.test"),
    );
    expect(other.log().filter(({ event }) => event.startsWith("egress."))).toEqual([]);
    // Control: where it is allowed it gets as far as the upstream.
    expect((await other.exec("curl", "-sS", "http://other.test/")).stdout).not.toContain("host-not-allowed");
  });

  it("see neither each other's processes, hostname and sockets nor the operator's folders", async () => {
    const names = await one.sh("cat /proc/*/cmdline | tr '\\0' ' '; hostname");
    expect(names).not.toContain(other.id);
    for (const path of [operator.root, operator.home, operator.runtime, operator.repository])
      expect((await one.exec("ls", path)).code).not.toBe(0);
    const unix = await one.sh("cat /proc/net/unix");
    expect(unix).not.toContain(operator.runtime);
  });
});
