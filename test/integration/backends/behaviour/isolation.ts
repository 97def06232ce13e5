/** The only thing that a guest reaches is its link: looked at from inside, each look with a control that finds something. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Guest, type Link, SERVICE_PORTS } from "../../../../src/contract/backend.ts";
import { runOk } from "../../../../src/lib/processes.ts";
import { finish, runIn, sh } from "../../../support/bottle-guest.ts";
import type { BackendUnderTest } from "../behaviour.ts";
import { allAnswered, dialElsewhere, dialledWhereItIs, ELSEWHERE } from "./elsewhere.ts";

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

/** keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0): which keys its user has. */
const KEYRING = `my $call = { x86_64 => 250, aarch64 => 219 }->{(split " ", \`uname -m\`)[0]};
print syscall($call, 0, -3, 0) == -1 ? "$!" : "ok";`;

/** Local ports of all datagram sockets that this network has, with one of the program's own: a line each. */
const DATAGRAM_PORTS = `socket my $s, 2, 2, 0 or die $!;
bind $s, pack("S n C4 x8", 2, $ARGV[0], 127, 0, 0, 1) or die $!;
for my $list ("/proc/net/udp", "/proc/net/udp6") {
  open my $file, "<", $list or next;
  <$file>;
  /^\\s*\\d+: [0-9A-F]+:([0-9A-F]{4}) / and print hex($1), "\\n" while <$file>;
}`;

const INTERFACES = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
const ROUTES = "tail -n +2 /proc/net/route | wc -l";

/** Says "ok", or why not. Numbers: AF_INET 2, AF_UNIX 1, AF_PACKET 17, AF_VSOCK 40; the host is vsock's 2. */
const SOCKETS: Readonly<Record<string, string>> = {
  raw: 'print socket(my $s, 2, 3, 1) ? "ok" : "$!"',
  packet: 'print socket(my $s, 17, 3, 0x0300) ? "ok" : "$!"',
  vsock: 'my $s; print socket($s, 40, 1, 0) && connect($s, pack("S S I I x4", 40, 0, 22, 2)) ? "ok" : "$!"',
  // Older libuv names such a socket by all 108 bytes.
  abstract:
    'my $s; socket($s, 1, 1, 0); my $n = "\\0$ARGV[0]"; print connect($s, pack("S a*", 1, $n)) || connect($s, pack("S a108", 1, $n)) ? "ok" : "$!"',
};

const WAIT_ON_VSOCK =
  'my $s; print socket($s, 40, 1, 0) && bind($s, pack("S S I I x4", 40, 0, 0xffffffff, 0xffffffff)) && listen($s, 1) ? "ok" : "$!"';

/** For an answer that a filter keeps back; whoever has no way is told at once. */
const SILENCE_SECONDS = 2;

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
    // By what verifies a launch, and by a program of the agent's.
    const results = await guest().probe(ELSEWHERE);
    const outcomes = results.map(({ host, outcome }) => `${host} ${outcome}`);
    const dialled = await runIn(guest(), dialElsewhere(SILENCE_SECONDS));
    const said = dialled.stdout.toString().trim().split("\n");
    expect(outcomes).toHaveLength(ELSEWHERE.length);
    expect(said).toHaveLength(ELSEWHERE.length);
    // Behind a filter, whoever refuses is nobody's kernel: only an answer tells of a way.
    const [no, inWords] = link().behindFilter
      ? [/ (?!answered$)\S+$/, / (?!answered$).+$/]
      : [
          / (ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL)$/,
          / (Network is unreachable|Cannot assign requested address|Address family not supported.*|Invalid argument)$/,
        ];
    for (const outcome of outcomes) expect(outcome).toMatch(no);
    for (const line of said) expect(line).toMatch(inWords);
    // Control: that very program, where there is a way.
    expect(await dialledWhereItIs()).toEqual(expect.arrayContaining([...allAnswered()]));
  });

  it("has no interface besides its loopback, and no route", async () => {
    expect(await sh(guest(), INTERFACES)).toBe("lo");
    expect(await sh(guest(), ROUTES)).toBe("0");
    // Control: the same words, where there are both.
    const alone = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const made =
      "ip link set lo up; ip link add one type veth peer name other; ip route add 10.0.0.0/8 dev lo";
    const outside = [
      "unshare",
      ...alone,
      "--net",
      "--",
      "sh",
      "-ec",
      `${made}; ${INTERFACES}; ${ROUTES}`,
    ] as const;
    const seen = (await runOk(outside)).stdout.toString().trim().split("\n");
    expect(seen).toEqual(expect.arrayContaining(["lo", "one", "other", "1"]));
  });

  it("has nobody's datagram socket on its loopback besides what it opened itself", async () => {
    const own = 8178;
    const { stdout } = await runIn(guest(), ["perl", "-e", DATAGRAM_PORTS, String(own)]);
    const found = stdout.toString().trim().split("\n").map(Number);
    // A machine behind a filter has a resolver of its own, of which that filter is made.
    const expected = link().behindFilter ? [own, 53] : [own];
    expect(found.filter((port) => !expected.includes(port))).toEqual([]);
    // Control: its own is seen.
    expect(found).toContain(own);
  });

  it.each(["raw", "packet"])("cannot open a %s socket", async (kind) => {
    const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS[kind] ?? ""]);
    expect(stdout.toString()).toMatch(/not permitted|denied|not supported/);
    // Control: whoever may, can.
    if (process.getuid?.() === 0)
      expect((await runOk(["perl", "-e", SOCKETS[kind] ?? ""])).stdout.toString()).toBe("ok");
    else console.warn(`NO CONTROL for ${kind} sockets: only root may open them`);
  });

  if (under.opensVsock !== undefined) it.skip(`has no vsock to its host (${under.opensVsock})`);
  else
    it("has no vsock to its host", async () => {
      const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS["vsock"] ?? ""]);
      expect(stdout.toString()).toMatch(/not permitted|not supported|denied|No such device/);
      // Control: whoever may and has such a kernel waits there for others. Nobody is called: he may be this host's own host.
      const waiting = (await runOk(["perl", "-e", WAIT_ON_VSOCK])).stdout.toString();
      if (existsSync("/dev/vsock")) expect(waiting).toBe("ok");
      else console.warn(`NO CONTROL for vsock: this host has none (${waiting})`);
    });

  if (under.nests !== undefined) it.skip(`makes no user namespace and sees no keyring (${under.nests})`);
  else
    it("makes no user namespace, in which it would be root, and sees no keyring of its host's", async () => {
      for (const words of [["--user", "--fork"], ["--user"]]) {
        const { code } = await runIn(guest(), ["unshare", ...words, "true"]);
        expect(code).not.toBe(0);
      }
      expect((await runIn(guest(), ["unshare", "--version"])).code).toBe(0);
      const { stdout } = await runIn(guest(), ["perl", "-e", KEYRING]);
      expect(stdout.toString()).toMatch(/not permitted|not implemented/);
      // Control: a program of this host's may, unless it is in a container itself.
      const outside = (await runOk(["perl", "-e", KEYRING])).stdout.toString();
      if (outside !== "ok") console.warn(`NO CONTROL for keyrings: ${outside}`);
    });

  it("is told none of the names that its host knows of others", async () => {
    const names = (text: string): string[] =>
      text
        .split("\n")
        .flatMap((line) => line.replace(/#.*/, "").trim().split(/\s+/).slice(1))
        .filter((name) => name !== "" && !/^(?:localhost|ip6-)/.test(name));
    const theirs = names(readFileSync("/etc/hosts", "utf8"));
    const { stdout } = await runIn(guest(), ["cat", "/etc/hosts"]);
    expect(names(stdout.toString()).filter((name) => theirs.includes(name))).toEqual([]);
    // Control: its own names are read.
    expect(stdout.toString()).toMatch(/^127\.0\.0\.1\s+localhost/m);
    if (theirs.length === 0) console.warn("NO CONTROL for names: this host's file knows none");
  });

  it("reaches no abstract socket of its host", async () => {
    const { stdout } = await runIn(guest(), ["perl", "-e", SOCKETS["abstract"] ?? "", name]);
    expect(stdout.toString()).toMatch(/refused|not permitted|denied/);
    const outside = await runOk(["perl", "-e", SOCKETS["abstract"] ?? "", name]);
    expect(outside.stdout.toString()).toBe("ok");
  });
}
