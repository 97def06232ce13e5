/**
 * Addresses that are no part of a link, a program that dials them, and its control: a network of its own in which all of
 * them are somebody's, and answer.
 */
import { existsSync } from "node:fs";
import type { ProbeTarget } from "../../../../src/contract/backend.ts";
import { runOk } from "../../../../src/lib/processes.ts";

/** Gateways of machines and containers, metadata services, resolvers, neighbours; and the same by IPv6. */
export const ELSEWHERE: readonly ProbeTarget[] = [
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

/**
 * Seconds to wait, then targets; says of each "answered", "sent", "silence" or the kernel's own words. All at once: where
 * something drops what is sent, each of them is waited for. What is sent to a group comes back from another address.
 */
const DIAL = `use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6);
my $until = time + shift @ARGV; my %waiting;
sub told { print "$_[0] $_[1]\\n" }
for my $target (@ARGV) {
  my ($transport, $host, $port) = split /,/, $target;
  my $six = $host =~ /:/; my $tcp = $transport eq "tcp";
  # SOCK_NONBLOCK; a link-local address is one of an interface, and the first is the loopback
  socket my $s, $six ? AF_INET6 : AF_INET, ($tcp ? SOCK_STREAM : SOCK_DGRAM) | 04000, 0 or do { told($target, $!); next };
  my $to = $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host), $host =~ /^fe80/ ? 1 : 0) : pack_sockaddr_in($port, inet_aton($host));
  # EINPROGRESS
  connect $s, $to or $! == 115 or do { told($target, $!); next };
  if (!$tcp) {
    defined send $s, "?", 0 or do { told($target, $!); next };
    if ($host =~ /^224/) { told($target, "sent"); next }
  }
  $waiting{fileno $s} = [$target, $s, $tcp];
}
while (%waiting && time < $until) {
  my ($read, $write) = ("", "");
  vec($waiting{$_}[2] ? $write : $read, $_, 1) = 1 for keys %waiting;
  select $read, $write, undef, 0.2 or next;
  for my $fd (keys %waiting) {
    my ($target, $s, $tcp) = @{$waiting{$fd}};
    next unless vec $tcp ? $write : $read, $fd, 1;
    if ($tcp) { $! = unpack "i", getsockopt $s, SOL_SOCKET, SO_ERROR; told($target, $! ? $! : "answered"); }
    else { told($target, defined recv($s, my $back, 512, 0) ? "answered" : $!); }
    delete $waiting{$fd};
  }
}
told($_->[0], "silence") for values %waiting;`;

const word = ({ transport, host, port }: ProbeTarget): string => `${transport},${host},${port}`;

/** For whoever has perl. @param seconds for an answer. */
export function dialElsewhere(seconds: number): readonly [string, ...string[]] {
  return ["perl", "-e", DIAL, String(seconds), ...ELSEWHERE.map(word)];
}

/** Whoever asks by datagram has his words back, until the program that is told has ended. */
const ANSWER = `use Socket qw(:DEFAULT pack_sockaddr_in6 AF_INET6 IPPROTO_IPV6 IPV6_V6ONLY);
my (@udp, @held);
for my $family (AF_INET, AF_INET6) {
  for my $type (SOCK_STREAM, SOCK_DGRAM) {
    socket my $s, $family, $type, 0 or next;
    setsockopt $s, IPPROTO_IPV6, IPV6_V6ONLY, 1 if $family == AF_INET6;
    my $port = $type == SOCK_STREAM ? 80 : 53;
    bind $s, $family == AF_INET ? pack_sockaddr_in($port, INADDR_ANY) : pack_sockaddr_in6($port, "\\0" x 16) or die "bind: $!";
    push @held, $s;
    if ($type == SOCK_STREAM) { listen $s, 64 } else { push @udp, $s }
  }
}
my $pid = fork; if (!$pid) { exec @ARGV or die "exec: $!" }
# WNOHANG
until (waitpid($pid, 1) == $pid) {
  my $read = ""; vec($read, fileno $_, 1) = 1 for @udp;
  select $read, undef, undef, 0.05 or next;
  for my $s (@udp) {
    next unless vec $read, fileno $s, 1;
    my $from = recv $s, my $words, 512, 0; send $s, $words, 0, $from if defined $from;
  }
}
exit $? >> 8;`;

/** A line for each target, as {@link dialElsewhere} says it where every address is the loopback's own, and answers. */
export async function dialledWhereItIs(): Promise<readonly string[]> {
  const alone = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const addresses = ELSEWHERE.map(({ host }) => host).filter((host) => !host.startsWith("224."));
  const network = [
    "ip link set lo up",
    "ip route add 224.0.0.0/4 dev lo",
    ...addresses.map((host) =>
      host.includes(":")
        ? `[ ! -e /proc/sys/net/ipv6 ] || ip addr add ${host}/128 dev lo nodad`
        : `ip addr add ${host}/32 dev lo`,
    ),
    'exec perl -e "$@"',
  ].join("\n");
  const argv = ["unshare", ...alone, "--net", "--", "sh", "-ec", network, "sh"] as const;
  const { stdout } = await runOk([...argv, ANSWER, ...dialElsewhere(PATIENCE_SECONDS)]);
  return stdout.toString().trim().split("\n").sort();
}

/** Each is there at once; a busy host may need longer. */
const PATIENCE_SECONDS = 20;

/** What that is where nothing is missing. */
export function allAnswered(): readonly string[] {
  // A kernel without IPv6 has none to control by.
  const hasSix = existsSync("/proc/sys/net/ipv6");
  if (!hasSix) console.warn("NO CONTROL for IPv6: this host's kernel has none");
  const isControlled = ({ host }: ProbeTarget): boolean => hasSix || !host.includes(":");
  return ELSEWHERE.filter(isControlled)
    .map((target) => `${word(target)} ${target.host.startsWith("224.") ? "sent" : "answered"}`)
    .sort();
}
