/**
 * What a machine can reach that it must not, asked of the guest itself before anything else is done in it. Nothing that
 * smolvm says about its filter is taken for true: several releases forget it, ignore it or leave a gap.
 */
import { createServer, type Server } from "node:net";
import type { ProbeTarget } from "../../contract/backend.ts";
import type { GuestClient } from "../../jail/guest-client.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { ALIASES, CLAIM_PORT } from "./alias.ts";
import { type HostService, servicesAt } from "./host-services.ts";
import { GATEWAY } from "./versions.ts";

const PROBE_TIMEOUT_MS = 3_000;
/** A laptop has some dozens. Each is asked about: whom nobody asks about is not known to be out of reach. */
const MAX_SERVICES = 200;
/** How a hole is called in docs/smolmachines.md. */
export type HoleName = "A.7.1" | "A.7.2" | "A.7.5" | "A.7.6" | "A.7.8";

export interface Found {
  readonly target: ProbeTarget;
  readonly hole: HoleName;
  readonly what: string;
}

interface Asked extends ProbeTarget {
  readonly hole: HoleName;
  readonly what: string;
}

/** The public, the private and the cloud's own. */
const ELSEWHERE: readonly Asked[] = [
  { host: "1.1.1.1", port: 443, transport: "tcp", hole: "A.7.5", what: "a public resolver, on any port" },
  { host: "1.1.1.1", port: 53, transport: "udp", hole: "A.7.5", what: "a public resolver" },
  { host: "8.8.8.8", port: 53, transport: "tcp", hole: "A.7.2", what: "the internet" },
  { host: "169.254.169.254", port: 80, transport: "tcp", hole: "A.7.8", what: "the cloud's metadata" },
  { host: "10.0.0.1", port: 80, transport: "tcp", hole: "A.7.2", what: "the local network" },
  { host: GATEWAY, port: 53, transport: "udp", hole: "A.7.6", what: "names, and whatever they carry" },
];

/** A link that is an address on this host's loopback. */
export interface OwnAddress {
  readonly alias: string;
  /** The bundle's there: TCP. */
  readonly ports: readonly number[];
}

/**
 * @param own undefined for a link of another kind.
 * @param listed ports of this host's that the operator lets the bottle reach.
 * @returns what answered. @throws UserError when more listens there than can be asked about.
 */
export async function findReached(
  client: GuestClient,
  own: OwnAddress | undefined,
  listed: readonly number[] = [],
): Promise<readonly Found[]> {
  const open: Server[] = [];
  try {
    const canaries: Asked[] = [];
    for (const host of ["127.0.0.1", ...ALIASES.filter((other) => other !== own?.alias).slice(0, 1)]) {
      const server = await listenOn(host);
      if (server === undefined) continue;
      open.push(server.server);
      const common = { port: server.port, transport: "tcp" } as const;
      canaries.push({ ...common, host, hole: "A.7.2", what: "other ports of this host's loopback" });
      if (host === "127.0.0.1")
        canaries.push({
          ...common,
          host: GATEWAY,
          hole: "A.7.1",
          what: "every port of this host's loopback",
        });
    }
    const services = own === undefined ? [] : await besides(own, listed);
    const asked = [...canaries, ...services, ...ELSEWHERE];
    const results = await client.probe(
      asked.map(({ host, port, transport }) => ({ host, port, transport })),
      PROBE_TIMEOUT_MS,
    );
    return asked.flatMap((target, i) => {
      const result = results[i];
      // One that is not answered for is one that says nothing in the guest's favour.
      const silent = result === undefined || result.host !== target.host || result.port !== target.port;
      if (!silent && result.outcome !== "answered") return [];
      const { hole, what, ...rest } = target;
      return [{ target: rest, hole, what: silent ? `${what}: the guest does not say` : what }];
    });
  } finally {
    for (const server of open) server.close();
  }
}

/** What else answers at the bottle's address. */
async function besides({ alias, ports }: OwnAddress, listed: readonly number[]): Promise<readonly Asked[]> {
  // One of ours that listens on all addresses answers the whole LAN.
  const isOurs = ({ transport, port, everywhere }: HostService): boolean =>
    !everywhere && (transport === "tcp" ? ports.includes(port) : port === CLAIM_PORT);
  const services = (await servicesAt(alias)).filter(
    (service) => !isOurs(service) && !listed.includes(service.port),
  );
  if (services.length > MAX_SERVICES)
    throw new UserError(
      `${services.length} services of this host's listen where ${alias} leads, and no more than ${MAX_SERVICES} can be asked about`,
      { hint: "end those that are not needed, or use smolvm 1.9 or newer, whose machines need no network" },
    );
  return services.map(({ transport, port, everywhere }) => ({
    ...{ host: alias, port, transport, hole: "A.7.1" },
    what: `a service of this host's that listens ${everywhere ? "on all its addresses" : "on the bottle's own address"}`,
  }));
}

async function listenOn(host: string): Promise<{ server: Server; port: number } | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, host, resolve);
    });
  } catch (error) {
    // On macOS an address of the pool that was not made.
    if (codeOf(error) === "EADDRNOTAVAIL") return undefined;
    throw error;
  }
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port to ask about");
  return { server, port: address.port };
}
