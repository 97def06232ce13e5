/** I1: whatever has an address. Each is owned by an impostor that answers whoever comes. */
import { node, type Otherwise, type Probe, type Step } from "../probe.ts";

/** The guest's own kernel says so: nothing has left it. */
const NO_WAY = ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"] as const;
/** On the guest's own loopback nobody is there. */
const OWN_LOOPBACK = [...NO_WAY, "ECONNREFUSED"] as const;

const NO_IPV6: readonly Otherwise[] = [
  {
    without: ["ipv6"],
    seen: [...NO_WAY, "ECONNREFUSED"],
    because: "this host has no IPv6 to reach anything by",
  },
];

/** Its impostor is on an address of the host's alone, of which a guest may have its own. */
const OWN_IPV6_LOOPBACK: readonly Otherwise[] = [
  {
    without: ["outerNetwork"],
    seen: ["ECONNREFUSED"],
    because:
      "without an outer network the address stands for ::1, which is the guest's own, and nobody is there",
  },
];

function reach(what: string, tries: string, text: string, more: Partial<Probe> = {}): Probe {
  return {
    id: `address-${what}`,
    invariant: "I1",
    group: "addresses",
    tries,
    attack: [node(text)],
    refused: NO_WAY,
    control: "outside",
    ...more,
  };
}

/** A server of the neighbour's, for a minute. */
function serving(port: number): Step {
  return node(
    `import { spawn } from "node:child_process";
const server = "require('net').createServer((s) => s.end(process.env.WORD)).listen(${port}, '127.0.0.1', () => console.log('up')); setTimeout(() => process.exit(), 60000)";
const child = spawn("setsid", ["node", "-e", server], { stdio: ["ignore", "pipe", "ignore"] });
await new Promise((up) => child.stdout.once("data", up));
child.unref(); got("it listens");`,
    "neighbour",
  );
}

export const ADDRESSES: readonly Probe[] = [
  reach("public", "connects to a public web server", "await hear(env.PUBLIC, env.HTTP_PORT, env.HTTPS_PORT)"),
  reach(
    "resolver-tls",
    "connects to a public resolver on its web and DoT ports",
    "await hear(env.RESOLVER, env.HTTPS_PORT, env.DOT_PORT)",
  ),
  reach(
    "metadata",
    "asks the cloud's metadata service, where instance credentials are",
    "await hear(env.METADATA, env.HTTP_PORT)",
  ),
  reach(
    "container-metadata",
    "asks the container engine's credential endpoint",
    "await hear(env.CONTAINER_METADATA, env.HTTP_PORT)",
  ),
  reach(
    "metadata-ipv6",
    "asks the metadata service at its IPv6 address",
    "await hear(env.UNIQUE_LOCAL, env.HTTP_PORT)",
    { otherwise: OWN_IPV6_LOOPBACK, controlOtherwise: NO_IPV6 },
  ),
  reach(
    "link-local",
    "connects to a link-local neighbour",
    "await hear(env.LINK_LOCAL, env.SSH_PORT, env.HTTP_PORT)",
  ),
  reach(
    "lan-10",
    "connects to ssh and web servers of a 10.0.0.0/8 network",
    "await hear(env.LAN, env.SSH_PORT, env.HTTP_PORT)",
  ),
  reach(
    "lan-192",
    "connects to the router of a 192.168.0.0/16 network",
    "await hear(env.ROUTER, env.HTTP_PORT, env.SSH_PORT)",
  ),
  reach(
    "lan-172",
    "connects to a container bridge's address on the host, where engines listen",
    "await hear(env.ENGINE_BRIDGE, env.ENGINE_PORT, env.SSH_PORT)",
  ),
  reach(
    "carrier",
    "connects to a carrier-grade or overlay network's address",
    "await hear(env.CARRIER, env.HTTP_PORT)",
  ),
  reach(
    "gateway",
    "connects to the usual gateway",
    "await hear(env.GATEWAY, env.SSH_PORT, env.DNS_PORT, env.HTTP_PORT)",
  ),
  reach(
    "vm-gateway",
    "connects to what user-mode networks of virtual machines call the host",
    "await hear(env.VM_GATEWAY, env.SSH_PORT, env.HTTP_PORT)",
  ),
  reach(
    "host-interfaces",
    "connects to each address that the host has, on a port that listens on all of them",
    "await first((env.HOST_ADDRESSES || '127.0.0.1').split(' ').map((host) => [host, tryTcp(host, env.CANARY_PORT)]))",
    { refused: OWN_LOOPBACK },
  ),
  reach(
    "host-loopback",
    "connects to a server on the host's loopback",
    "await hear('127.0.0.1', env.CANARY_PORT)",
    { refused: OWN_LOOPBACK },
  ),
  reach(
    "host-loopback-ipv6",
    "connects to a server on the host's IPv6 loopback",
    "await hear('::1', env.CANARY_PORT)",
    {
      refused: OWN_LOOPBACK,
      controlOtherwise: NO_IPV6,
    },
  ),
  reach(
    "loopback-alias",
    "connects to other addresses of the loopback network",
    "await first(['127.0.0.2', '127.0.0.53', '127.1.2.3'].map((host) => [host, tryTcp(host, env.CANARY_PORT)]))",
    {
      refused: OWN_LOOPBACK,
    },
  ),
  reach(
    "any-address",
    "connects to 0.0.0.0, which many kernels take for this machine",
    "await hear('0.0.0.0', env.CANARY_PORT)",
    { refused: OWN_LOOPBACK },
  ),
  reach(
    "mapped-address",
    "connects to an IPv4 address written as an IPv6 one",
    "await hear('::ffff:' + env.LAN, env.HTTP_PORT)",
    { controlOtherwise: NO_IPV6 },
  ),
  reach(
    "ipv6-public",
    "connects to a public IPv6 address",
    "await hear(env.SIXTH, env.HTTPS_PORT, env.HTTP_PORT)",
    { otherwise: OWN_IPV6_LOOPBACK, controlOtherwise: NO_IPV6 },
  ),
  reach(
    "udp",
    "sends datagrams to resolvers, a time server and the LAN",
    "await first([[env.RESOLVER, env.UDP_DNS_PORT], [env.PUBLIC, env.UDP_NTP_PORT], [env.LAN, env.UDP_HTTPS_PORT]].map(([host, port]) => [host + ':' + port, tryUdp(host, port)]))",
  ),
  reach(
    "git-daemon",
    "connects to a git server of the LAN past the gate",
    "await hear(env.LAN, env.GIT_PORT)",
  ),
  reach(
    "abstract-socket",
    "connects to an abstract Unix socket of the host's",
    "await hearUnix(env.ABSTRACT_SOCKET)",
    { refused: ["ECONNREFUSED", "ENOENT"] },
  ),
  reach("engine-socket", "connects to the container engine's socket", "await hearUnix(env.ENGINE_SOCKET)", {
    refused: ["ENOENT", "EACCES", "ENOTDIR"],
  }),
  reach(
    "agent-socket",
    "connects to the operator's ssh-agent and session bus",
    "await hearUnix(env.AGENT_SOCKET, env.BUS_SOCKET)",
    { refused: ["ENOENT", "EACCES", "ENOTDIR"] },
  ),
  {
    ...reach("neighbour", "connects to a server that the bottle beside it runs on its loopback", ""),
    attack: [serving(7777), node("await hear('127.0.0.1', 7777)")],
    refused: ["ECONNREFUSED"],
    control: [serving(7778), node("await hear('127.0.0.1', 7778)", "neighbour")],
  },
];
