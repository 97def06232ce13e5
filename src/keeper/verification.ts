/**
 * I7: before any agent code runs, the guest itself is asked what it can reach. Its link must answer; a fixed
 * set of everything else must be refused by the guest's own kernel, before any packet leaves; this host's
 * loopback is among it with a listener that is known to be there. One surprise and the agent is not started.
 */
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import {
  type Endpoint,
  type Guest,
  type Link,
  type ProbeResult,
  type ProbeTarget,
  SERVICE_NAMES,
  SERVICE_PORTS,
  type ServiceName,
} from "../contract/backend.ts";

/** Resolvers, a public site, a LAN, link-local and cloud metadata, in both families. */
const FORBIDDEN: readonly ProbeTarget[] = [
  { host: "1.1.1.1", port: 443, transport: "tcp" },
  { host: "1.1.1.1", port: 53, transport: "udp" },
  { host: "8.8.8.8", port: 53, transport: "tcp" },
  { host: "169.254.169.254", port: 80, transport: "tcp" },
  { host: "10.0.0.1", port: 80, transport: "tcp" },
  { host: "192.168.1.1", port: 53, transport: "udp" },
  { host: "127.0.0.53", port: 53, transport: "udp" },
  { host: "2606:4700:4700::1111", port: 443, transport: "tcp" },
];

export interface Verification {
  /** Everything that was asked, with what came of it: one event of the log. */
  readonly results: readonly ProbeResult[];
  /** Empty when the guest is isolated; else one line a surprise. */
  readonly surprises: readonly string[];
}

export async function verifyIsolation(guest: Guest, link: Link): Promise<Verification> {
  const answering = SERVICE_NAMES.flatMap((name) => listenersOf(name, link.endpoints[name]));
  const canary = await listenOnLoopback();
  try {
    const addresses = Object.values(networkInterfaces())
      .flatMap((entries) => entries ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .map(({ address }) => address);
    const forbidden = [
      ...FORBIDDEN,
      ...["127.0.0.1", ...addresses].map(
        (host): ProbeTarget => ({ host, port: canary.port, transport: "tcp" }),
      ),
    ];
    const results = await guest.probe([...answering, ...forbidden]);
    return { results, surprises: judge(answering, forbidden, results, link.behindFilter === true) };
  } finally {
    canary.close();
  }
}

/** Every address at which the guest is to meet a service. */
function listenersOf(name: ServiceName, endpoint: Endpoint | undefined): readonly ProbeTarget[] {
  if (endpoint === undefined) return [];
  const { hostname, port } = new URL(endpoint.guestUrl);
  const roles = endpoint.listen.kind === "inherited" ? endpoint.listen.roles : [];
  const others = roles.flatMap((role) => (role === "main" ? [] : (SERVICE_PORTS[name][role] ?? [])));
  return [Number(port), ...others].map((each) => ({ host: hostname, port: each, transport: "tcp" }));
}

/** Matches by position: a guest cannot be asked twice and answer once. */
export function judge(
  answering: readonly ProbeTarget[],
  forbidden: readonly ProbeTarget[],
  results: readonly ProbeResult[],
  behindFilter = false,
): readonly string[] {
  const asked = [...answering, ...forbidden];
  return asked.flatMap((target, i) => {
    const result = results[i];
    const name = `${target.transport} ${target.host}:${target.port}`;
    if (result === undefined || result.host !== target.host || result.port !== target.port)
      return [`${name} was not probed`];
    if (i < answering.length) {
      return result.outcome === "answered" ? [] : [`its link does not answer: ${name} (${result.outcome})`];
    }
    if (behindFilter) return result.outcome === "answered" ? [`it can reach ${name}`] : [];
    const surprise = surpriseIn(result);
    return surprise === undefined ? [] : [`${surprise} ${name} (${result.outcome})`];
  });
}

/** What a kernel says that has no route there, or no such family of addresses; all else means a way out. */
const NO_WAY: ReadonlySet<string> = new Set(["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/** Silence is the worst: packets went somewhere, and only the answer did not come back. */
function surpriseIn({ outcome, host }: ProbeResult): string | undefined {
  if (NO_WAY.has(outcome)) return undefined;
  if (outcome === "answered") return "it can reach";
  // Who refuses is there: only the guest's own loopback may.
  if (outcome === "ECONNREFUSED") return host.startsWith("127.") ? undefined : "it can reach";
  return "it may have a way to";
}

async function listenOnLoopback(): Promise<{ port: number; close(): void }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port to verify against");
  return { port: address.port, close: () => void server.close() };
}
