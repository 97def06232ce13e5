/**
 * Whoever a guest must not reach, played by this process: listeners on every address that there is, which answer with
 * the world's word. In an outer network they own the resolvers, the metadata service and the LAN; without one they stand
 * on the host's own addresses alone, so that no real machine is ever spoken to.
 */
import { createSocket } from "node:dgram";
import { appendFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { portOf } from "./upstream.ts";

/** By the name under which probes know them; in an outer network the loopback has them all. */
export const IMPOSTORS = {
  RESOLVER: "1.1.1.1",
  OTHER_RESOLVER: "8.8.8.8",
  METADATA: "169.254.169.254",
  CONTAINER_METADATA: "169.254.170.2",
  LINK_LOCAL: "169.254.77.77",
  LAN: "10.11.12.13",
  GATEWAY: "10.0.0.1",
  ROUTER: "192.168.1.1",
  ENGINE_BRIDGE: "172.17.0.1",
  CARRIER: "100.64.0.1",
  VM_GATEWAY: "10.0.2.2",
  PUBLIC: "93.184.215.14",
  MULTICAST: "224.0.0.251",
  SIXTH: "2606:4700:4700::1111",
  UNIQUE_LOCAL: "fd00:ec2::254",
} as const;

const TCP_PORTS = {
  SSH_PORT: 22,
  DNS_PORT: 53,
  HTTP_PORT: 80,
  HTTPS_PORT: 443,
  DOT_PORT: 853,
  ENGINE_PORT: 2375,
  GIT_PORT: 9418,
} as const;
const UDP_PORTS = { DNS_PORT: 53, HTTPS_PORT: 443, MDNS_PORT: 5353, NTP_PORT: 123 } as const;

export interface Impostors {
  /** Variables that name their addresses, ports and sockets. */
  readonly env: Readonly<Record<string, string>>;
  close(): void;
}

export async function startImpostors(options: {
  readonly word: string;
  readonly folder: string;
  readonly outer: boolean;
  /** Names that the resolvers were asked are written there, each in a line. */
  readonly asked: string;
}): Promise<Impostors> {
  const { word, folder, outer, asked } = options;
  const closing: (() => void)[] = [];
  const serve = async (at: { readonly port: number; readonly host: string } | string): Promise<Server> => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${word}\n`);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      if (typeof at === "string") server.listen(at.replace(/^@/, "\0"), resolve);
      else server.listen(at, resolve);
    });
    closing.push(() => server.close());
    return server;
  };

  const own = hostAddresses();
  const canary = await serve({ port: 0, host: "::" }).catch(() => serve({ port: 0, host: "0.0.0.0" }));
  const canaryPort = String(portOf(canary));
  const env: Record<string, string> = { CANARY_PORT: canaryPort, HOST_ADDRESSES: own.join(" ") };
  const first = own.find((address) => !address.includes(":")) ?? "127.0.0.1";
  for (const [name, address] of Object.entries(IMPOSTORS))
    env[name] = outer ? address : address.includes(":") ? "::1" : first;
  for (const [name, port] of Object.entries(TCP_PORTS)) {
    env[name] = outer ? String(port) : canaryPort;
    if (outer) await serve({ port, host: "::" }).catch(() => serve({ port, host: "0.0.0.0" }));
  }

  const udp = async (address: string, port: number): Promise<number> => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("error", () => {});
    socket.on("message", (message, from) => {
      const name = nameIn(message);
      if (name !== undefined) appendFileSync(asked, `${name}\n`);
      socket.send(name === undefined ? word : addressOf(message), from.port, from.address);
    });
    return new Promise((resolve) => {
      // A host without IPv6 cannot have that one, and its control says so.
      socket.once("error", () => resolve(0));
      socket.bind(port, address, () => {
        if (address === IMPOSTORS.MULTICAST) socket.addMembership(address, "127.0.0.1");
        closing.push(() => socket.close());
        resolve(socket.address().port);
      });
    });
  };
  if (outer) {
    // One for each address: an answer must come from the one that was asked.
    const addresses = [...Object.values(IMPOSTORS), ...own, "127.0.0.1", "127.0.0.53"];
    for (const [name, port] of Object.entries(UDP_PORTS)) {
      env[`UDP_${name}`] = String(port);
      for (const address of new Set(addresses)) await udp(address, port);
    }
  } else {
    const port = String(await udp(first, 0));
    for (const name of Object.keys(UDP_PORTS)) env[`UDP_${name}`] = port;
  }

  env["ABSTRACT_SOCKET"] = `@bot-bottle-attack-${word}`;
  env["ENGINE_SOCKET"] = join(folder, "docker.sock");
  env["AGENT_SOCKET"] = join(folder, "ssh-agent.sock");
  env["BUS_SOCKET"] = join(folder, "bus");
  for (const name of ["ABSTRACT_SOCKET", "ENGINE_SOCKET", "AGENT_SOCKET", "BUS_SOCKET"])
    await serve(env[name] ?? "");
  return {
    env,
    close() {
      for (const close of closing) close();
    },
  };
}

/** Of this machine, and not its loopback. */
export function hostAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ internal, address }) => !internal && !/^fe80:/i.test(address))
    .map(({ address }) => address);
}

/** The name that a DNS question asks for; undefined for what is none. */
function nameIn(question: Buffer): string | undefined {
  if (question.length < 17 || question.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  for (let at = 12; at < question.length; ) {
    const length = question[at] ?? 0;
    if (length === 0) return labels.join(".");
    labels.push(question.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return undefined;
}

/** Every name has the LAN's address; a name server of no other kind is needed. */
function addressOf(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const isAddress = question.readUInt16BE(end - 4) === 1;
  const header = Buffer.from([
    question[0] ?? 0,
    question[1] ?? 0,
    0x81,
    0x80,
    0,
    1,
    0,
    isAddress ? 1 : 0,
    0,
    0,
    0,
    0,
  ]);
  const answer = Buffer.from([
    0xc0,
    12,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    60,
    0,
    4,
    ...IMPOSTORS.LAN.split(".").map(Number),
  ]);
  return Buffer.concat([header, question.subarray(12, end), ...(isAddress ? [answer] : [])]);
}
