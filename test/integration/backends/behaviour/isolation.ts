/** The only thing that a guest reaches is its link: looked at from inside, each look with a control that finds something. */
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Guest, type Link, type ProbeTarget, SERVICE_PORTS } from "../../../../src/contract/backend.ts";
import { runOk } from "../../../../src/lib/processes.ts";
import { finish, runIn, sh } from "../../../support/bottle-guest.ts";
import type { BackendUnderTest } from "../behaviour.ts";

/**
 * Every port of the loopback, from 1 to 65535. A socket that was refused is as good as a new one, which costs several
 * times a connection; what comes of it otherwise is asked of a new one.
 */
const SCAN = `my $s;
for my $port (1 .. 65535) {
  for my $again (0, 1) {
    undef $s if $again;
    $s or socket $s, 2, 1, 0 or die $!;
    if (connect $s, pack("S n C4 x8", 2, $port, 127, 0, 0, 1)) {
      # A socket that was given this very port is connected to itself.
      print "$port\\n" if getsockname $s ne getpeername $s;
      undef $s;
      last;
    }
    # ECONNREFUSED
    last if $! == 111;
  }
}`;

/** Says "ok", or why not. Numbers: AF_INET 2, AF_UNIX 1, AF_PACKET 17, AF_VSOCK 40; the host is vsock's 2. */
const SOCKETS: Readonly<Record<string, string>> = {
  raw: 'print socket(my $s, 2, 3, 1) ? "ok" : "$!"',
  packet: 'print socket(my $s, 17, 3, 0x0300) ? "ok" : "$!"',
  vsock: 'my $s; print socket($s, 40, 1, 0) && connect($s, pack("S S I I x4", 40, 0, 22, 2)) ? "ok" : "$!"',
  // Older libuv names such a socket by all 108 bytes.
  abstract:
    'my $s; socket($s, 1, 1, 0); my $n = "\\0$ARGV[0]"; print connect($s, pack("S a*", 1, $n)) || connect($s, pack("S a108", 1, $n)) ? "ok" : "$!"',
};

const NOWHERE: readonly ProbeTarget[] = [
  ...["10.0.2.2", "10.0.0.1", "192.168.0.1", "172.17.0.1", "169.254.169.254", "169.254.0.1"].map((host) => ({
    host,
    port: 80,
    transport: "tcp" as const,
  })),
  ...["10.0.2.3", "1.1.1.1", "8.8.8.8", "224.0.0.251"].map((host) => ({
    host,
    port: 53,
    transport: "udp" as const,
  })),
  { host: "fe80::1", port: 80, transport: "tcp" },
  { host: "fd00:ec2::254", port: 80, transport: "tcp" },
  { host: "2606:4700:4700::1111", port: 53, transport: "udp" },
];

export function testIsolation(guest: () => Guest, link: () => Link, under: BackendUnderTest): void {
  const name = `bbt-${randomBytes(6).toString("hex")}`;
  let abstract: Server;
  beforeAll(async () => {
    abstract = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => abstract.listen(`\0${name}`, resolve));
  });
  afterAll(() => void abstract.close());

  it("finds nothing on its loopback besides its link and what it started itself", async () => {
    const own = 8177;
    const server = await guest().exec([
      "node",
      "-e",
      `require("net").createServer((s) => s.end()).listen(${own}, "127.0.0.1", () => console.log("up"))`,
    ]);
    await new Promise((resolve) => server.stdout.once("data", resolve));
    const { stdout } = await runIn(guest(), ["perl", "-e", SCAN]);
    server.kill("SIGKILL");
    await finish(server);
    const found = stdout.toString().trim().split("\n").map(Number);
    // Where the guest has a network, its services may be at another address of it.
    const onLoopback = Object.entries(link().endpoints).filter(([, { guestUrl }]) =>
      guestUrl.includes("//127.0.0.1:"),
    );
    const services = onLoopback.map(([service]) => service as keyof typeof SERVICE_PORTS);
    const expected = new Set([
      own,
      ...services.flatMap((service) => Object.values(SERVICE_PORTS[service])),
      ...(under.ownPorts ?? []),
    ]);
    expect(found.filter((port) => !expected.has(port))).toEqual([]);
    expect(found).toContain(own);
    for (const service of services) expect(found).toContain(SERVICE_PORTS[service].main);
  }, 120_000);

  it("has no way to a gateway, a metadata service, a resolver, a neighbour or any IPv6", async () => {
    const results = await guest().probe(NOWHERE);
    const outcomes = results.map(({ host, outcome }) => `${host} ${outcome}`);
    expect(outcomes).toHaveLength(NOWHERE.length);
    // Behind a filter, whoever refuses is nobody's kernel: only an answer tells of a way.
    const no = link().behindFilter
      ? / (?!answered$)\S+$/
      : / (ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL)$/;
    for (const outcome of outcomes) expect(outcome).toMatch(no);
  });

  it("has no interface besides its loopback, and no route", async () => {
    expect(await sh(guest(), "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '")).toBe("lo");
    expect(await sh(guest(), "tail -n +2 /proc/net/route | wc -l")).toBe("0");
  });

  it.each(["raw", "packet"])("cannot open a %s socket", async (kind) => {
    const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS[kind] ?? ""]);
    expect(stdout.toString()).toMatch(/not permitted|denied|not supported/);
    // Whoever may, can.
    if (process.getuid?.() === 0)
      expect((await runOk(["perl", "-e", SOCKETS[kind] ?? ""])).stdout.toString()).toBe("ok");
  });

  it.skipIf(under.opensVsock !== undefined)("has no vsock to its host", async () => {
    const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS["vsock"] ?? ""]);
    expect(stdout.toString()).toMatch(/not permitted|not supported|denied|No such device/);
  });

  it("reaches no abstract socket of its host", async () => {
    const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS["abstract"] ?? "", name]);
    expect(stdout.toString()).toMatch(/refused|not permitted|denied/);
    const outside = await runOk(["perl", "-e", SOCKETS["abstract"] ?? "", name]);
    expect(outside.stdout.toString()).toBe("ok");
  });
}
