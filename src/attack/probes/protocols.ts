/** I1: protocols besides TCP and UDP, and a network interface's own settings. */
import { node, type Otherwise, type Probe, perl } from "../probe.ts";

const REFUSED = [
  "EPERM",
  "EACCES",
  "EAFNOSUPPORT",
  "EPROTONOSUPPORT",
  "ESOCKTNOSUPPORT",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "EADDRNOTAVAIL",
] as const;
/** gVisor's kernel has no such call. */
const NO_SUCH_CALL = ["EPERM", "EACCES", "ENOTTY"] as const;
const NOT_HERE = ["EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENOENT"] as const;
const KERNEL_WITHOUT: Otherwise = { seen: NOT_HERE, because: "this host's kernel does not speak it either" };
const NEEDS_ROOT: Otherwise = {
  without: ["hostRoot"],
  seen: ["EPERM", "EACCES"],
  because: "an ordinary user of the host may not either",
};
const OWN_KERNEL: Otherwise = {
  without: ["sharedKernel"],
  seen: ["got"],
  because: "it is the guest's own kernel, and a socket leads no further than its own machine's devices",
};
/** Some of them know no network namespace: what they lead to is the host's. */
const UNFILTERED: Otherwise = {
  without: ["syscallFilter"],
  seen: ["got"],
  because:
    "there is no filter of system calls, which leaves the host's own code for it to be reached; bottle doctor says so",
};
/** The socket itself is no way out, and is asked for on both of the internet's families. */
const OWN_NETWORK: Otherwise = {
  without: ["ownFilter"],
  seen: ["got"],
  because:
    "an engine's default filter lets every protocol of the internet's pass, or there is none: the host's own code for it is reached, though it leads no further than the guest's network",
};

/** Of linux/sockios.h: what `ip` does by netlink, for guests that have no `ip`. */
const SIOCADDRT = 0x890b;
const SIOCDELRT = 0x890c;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;

function protocol(what: string, tries: string, text: string, more: Partial<Probe> = {}): Probe {
  return {
    id: `protocol-${what}`,
    invariant: "I1",
    group: "protocols",
    tries,
    attack: [perl(text)],
    refused: REFUSED,
    control: "outside",
    controlOtherwise: [KERNEL_WITHOUT, NEEDS_ROOT],
    ...more,
  };
}

/** Code that is loaded on demand, or that few have walked, with a history of bugs that give root. */
function strange(what: string, tries: string, type: number, number: number): Probe {
  return protocol(
    what,
    tries,
    `my %came = map { call("socket", $_, ${type}, ${number}) => $_ } 2, 10; $came{ok} and got("of family $came{ok}"); refused(join("+", sort keys %came), "socket")`,
    // The last is how gVisor's kernel says that it is no protocol.
    { invariant: "I7", refused: [...REFUSED, "EINVAL"], otherwise: [OWN_KERNEL, OWN_NETWORK] },
  );
}

export const PROTOCOLS: readonly Probe[] = [
  protocol("raw", "opens a raw socket, to write packets of its own", 'does("socket", 2, 3, 1)'),
  protocol("raw-ipv6", "opens a raw IPv6 socket", 'does("socket", 10, 3, 58)'),
  protocol(
    "packet",
    "opens a packet socket, to see and forge what passes on a wire",
    'does("socket", 17, 3, 768)',
  ),
  protocol(
    "icmp",
    "pings a neighbour",
    `use Socket;
my $s; socket($s, 2, 2, 1) or socket($s, 2, 3, 1) or refused(error_name(), "no ICMP socket");
my $body = pack("CCnnn", 8, 0, 0, 1, 1); my $sum = 0; $sum += $_ for unpack("n*", $body); $sum = ($sum >> 16) + ($sum & 0xffff); $body = pack("CCnnn", 8, 0, ~$sum & 0xffff, 1, 1);
send($s, $body, 0, pack_sockaddr_in(0, inet_aton($ENV{LAN}))) or refused(error_name(), "send");
my $r = ""; vec($r, fileno($s), 1) = 1; select($r, undef, undef, 1.5) or refused("silence"); got("it answered")`,
    {
      controlOtherwise: [
        KERNEL_WITHOUT,
        NEEDS_ROOT,
        { without: ["outerNetwork"], seen: ["EACCES", "EPERM"], because: "this user may not ping" },
      ],
    },
  ),
  protocol(
    "sctp",
    "connects over SCTP, which firewalls forget",
    `use Socket; socket(my $s, 2, 1, 132) or refused(error_name(), "socket"); connect($s, pack_sockaddr_in(80, inet_aton($ENV{LAN}))) and got("connected"); my $e = error_name(); refused($e, "connect") if $e ne "ECONNREFUSED"; got("the packet went there and was refused")`,
    // To gVisor's kernel it is no protocol.
    { refused: [...REFUSED, "EINVAL"] },
  ),
  protocol(
    "udplite",
    "sends UDP-Lite datagrams",
    `use Socket; socket(my $s, 2, 2, 136) or refused(error_name(), "socket"); send($s, "x", 0, pack_sockaddr_in(53, inet_aton($ENV{LAN}))) ? got("it was sent") : refused(error_name(), "send")`,
  ),
  strange("sctp-socket", "opens an SCTP socket", 1, 132),
  strange("udplite-socket", "opens a UDP-Lite socket", 2, 136),
  strange("multipath-socket", "opens a multipath TCP socket", 1, 262),
  strange("dccp-socket", "opens a DCCP socket", 6, 33),
  strange("l2tp-socket", "opens an L2TP socket", 2, 115),
  protocol("vsock", "opens a socket to the hypervisor", 'does("socket", 40, 1, 0)', {
    otherwise: [
      OWN_KERNEL,
      {
        without: ["ownFilter"],
        seen: ["got"],
        because:
          "no filter of system calls is there, or the default one of an older engine, which lets it pass: on a host that is itself a virtual machine it leads to the hypervisor, and bottle doctor says so",
      },
    ],
  }),
  protocol("netlink-audit", "opens a socket to the kernel's audit", 'does("socket", 16, 3, 9)', {
    otherwise: [
      OWN_KERNEL,
      UNFILTERED,
      {
        without: ["ownFilter"],
        seen: ["got"],
        because:
          "an engine's default filter lets the socket exist; without a capability the kernel tells it nothing",
      },
    ],
  }),
  protocol(
    "crypto-socket",
    "opens a socket to the kernel's own ciphers, where bugs were that give root",
    'does("socket", 38, 5, 0)',
    { otherwise: [OWN_KERNEL, UNFILTERED] },
  ),
  protocol(
    "bluetooth",
    "opens a Bluetooth socket, of a family that knows no network namespace",
    'does("socket", 31, 3, 1)',
    { otherwise: [OWN_KERNEL, UNFILTERED] },
  ),
  protocol(
    "interface",
    "gives its loopback an address of the LAN's",
    `use Socket; socket(my $s, 2, 2, 0) or refused(error_name(), "socket");
my $name = "lo:77"; ioctl($s, ${SIOCSIFADDR}, pack("a16 S n a4 x8", $name, 2, 0, inet_aton("10.99.88.77"))) or refused(error_name(), "address");
ioctl($s, ${SIOCSIFFLAGS}, pack("a16 s x14", $name, 0)); got("it was given")`,
    { refused: NO_SUCH_CALL, controlOtherwise: [NEEDS_ROOT] },
  ),
  protocol(
    "route",
    "makes itself a way out",
    // struct rtentry: destination, gateway and mask, flags, a metric, and the device by its name.
    `use Socket; socket(my $s, 2, 2, 0) or refused(error_name(), "socket");
sub place { pack("S n a4 x8", 2, 0, inet_aton($_[0])) } my $device = "lo\\0";
my $way = pack("x8 a16 a16 a16 S x6 x8 x8 x8 P x8 x8 x8", place("198.51.100.0"), place("0.0.0.0"), place("255.255.255.0"), 1, $device);
ioctl($s, ${SIOCADDRT}, $way) or refused(error_name(), "route"); ioctl($s, ${SIOCDELRT}, $way); got("it was made")`,
    { refused: NO_SUCH_CALL, controlOtherwise: [NEEDS_ROOT] },
  ),
  protocol("devices", "finds a network device that leads somewhere", "", {
    attack: [
      node(`import { readFileSync } from "node:fs";
const names = readFileSync("/proc/net/dev", "utf8").split("\\n").slice(2).map((line) => line.split(":")[0].trim()).filter((name) => name !== "" && name !== "lo");
const routes = readFileSync("/proc/net/route", "utf8").trim().split("\\n").slice(1);
if (names.length + routes.length > 0) got(names.join() + " " + routes.join()); refused("none")`),
    ],
    refused: ["none"],
  }),
  protocol("quic", "speaks HTTP/3 to a host that is allowed, past the proxy", "", {
    attack: [node("await hearUdp(env.PUBLIC, env.UDP_HTTPS_PORT, Buffer.alloc(1200, 0xc0))")],
    refused: ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL"],
  }),
  protocol("ephemeral-listener", "is reached from the host on a port that it opened on all addresses", "", {
    attack: [
      node(`import { spawn } from "node:child_process";
const server = "require('net').createServer((s) => s.end(process.env.WORD)).listen(process.env.SIDE === 'outside' ? 17655 : 17654, () => console.log('up')); setTimeout(() => process.exit(), 5000)";
const child = spawn("setsid", ["node", "-e", server], { stdio: ["ignore", "pipe", "ignore"] });
await new Promise((up) => child.stdout.once("data", up));
child.unref(); got("it listens");`),
      node("await hear('127.0.0.1', env.SIDE === 'outside' ? 17655 : 17654)", "host"),
    ],
    refused: ["ECONNREFUSED"],
    controlOtherwise: [],
  }),
];
