/** In the outer world: impostors on every address, sockets of the host's, two bottles, and what each can reach. */
import { createSocket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import type { Guest } from "../../../../src/contract/backend.ts";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { runIn, sh, startBottle, temporaryFolder } from "../../../support/bottle-guest.ts";
import { IMPOSTORS, outerArguments } from "../../../support/outer-network.ts";
import { type Probe, probeInside, probeOutside } from "../../../support/probing.ts";

export interface ReachInput {
  /** Where perl is, for guest and host; absent when there is none. */
  readonly perl?: string;
}

export interface ReachReport {
  /** Probe by probe: what came of it outside, in a guest, and in the neighbour's guest for what the guest offers. */
  readonly host: readonly { readonly probe: Probe; readonly outside: string; readonly inside: string }[];
  readonly neighbour: readonly { readonly probe: Probe; readonly itself: string; readonly other: string }[];
  readonly link: { readonly served: string; readonly closed: string; readonly after: string };
  /** Of the guest's kernel tables: what exists in its network. */
  readonly network: Readonly<Record<"interfaces" | "routes" | "listeners", string>>;
  readonly neighbourSees: string;
}

const TCP_PORTS = [22, 53, 80, 443, 2375, 8080];
const UDP_PORTS = [53, 123, 443];
const ADDRESSES = [...Object.values(IMPOSTORS), "127.0.0.1", "127.0.0.53", "::1"];
const SHARED_MEMORY_KEY = 4242;

const {
  resultFile,
  input: { perl },
} = outerArguments<ReachInput>();
const folder = await temporaryFolder();

for (const port of TCP_PORTS) {
  await new Promise<void>((resolve, reject) => {
    const server = createServer((socket) => socket.on("error", () => {}).end("impostor"));
    server.once("error", reject);
    server.listen({ port, host: "::", ipv6Only: false }, resolve);
  });
}
for (const port of UDP_PORTS) {
  // One for each address: an answer must come from the one that was asked.
  for (const address of ADDRESSES) {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("message", (message, from) =>
      socket.send(port === 53 ? answered(message) : "impostor", from.port, from.address),
    );
    await new Promise<void>((resolve) => {
      // A host without IPv6 cannot have that one, and the control says so.
      socket.once("error", () => resolve());
      socket.bind(port, address, resolve);
    });
  }
}
const SOCKETS = [
  "@bot-bottle-host",
  "/run/docker.sock",
  "/run/user/1000/bus",
  "/run/dbus/system_bus_socket",
  `${folder}/ssh-operator/agent.1`,
  `${folder}/run/keeper.sock`,
];
for (const path of SOCKETS) {
  if (path.startsWith("/")) mkdirSync(dirname(path), { recursive: true });
  await new Promise<void>((resolve, reject) => {
    const server = createServer((socket) => socket.on("error", () => {}).end("host"));
    server.once("error", reject);
    server.listen(path.replace(/^@/, "\0"), resolve);
  });
}

const one = await startBottle(namespaceBackend, { folder, services: ["egress"] });
const other = await startBottle(namespaceBackend);

const probes: Probe[] = [
  ...ADDRESSES.flatMap((host) => TCP_PORTS.map((port): Probe => ({ kind: "tcp", host, port }))),
  ...ADDRESSES.flatMap((host) => UDP_PORTS.map((port): Probe => ({ kind: "udp", host, port }))),
  ...SOCKETS.map((path): Probe => ({ kind: "unix", path })),
  { kind: "resolve", name: "example.com", server: IMPOSTORS.resolver },
  { kind: "resolve", name: "example.com", server: "127.0.0.1" },
  { kind: "lookup", name: "example.com" },
];
const [outside, inside] = await Promise.all([probeOutside(probes), probeInside(one.guest, probes)]);

const OFFERED: readonly Probe[] = [
  { kind: "tcp", host: "127.0.0.1", port: 7777 },
  { kind: "unix", path: "@bottle-abstract" },
  { kind: "unix", path: "/tmp/bottle.sock" },
  { kind: "unix", path: "/home/node/bottle.sock" },
  { kind: "read", path: "/dev/shm/bottle" },
  { kind: "read", path: "/tmp/bottle" },
];
const offer = `
  const { createServer } = require("node:net");
  const { writeFileSync } = require("node:fs");
  for (const path of ["/dev/shm/bottle", "/tmp/bottle"]) writeFileSync(path, "mine");
  let left = 4;
  const up = () => --left || console.log("up");
  for (const at of [7777, "\\0bottle-abstract", "/tmp/bottle.sock", "/home/node/bottle.sock"])
    createServer((socket) => socket.end("neighbour")).listen(at, up);`;
const offering = await one.guest.exec(["node", "-e", offer]);
await new Promise((resolve) => offering.stdout.once("data", resolve));
const [itself, neighbours] = await Promise.all([
  probeInside(one.guest, OFFERED),
  probeInside(other.guest, OFFERED),
]);

const sharedMemory = async (guest: Guest, flags: number): Promise<string> => {
  if (perl === undefined) return "";
  const script = `print defined(shmget(${SHARED_MEMORY_KEY}, 100, ${flags})) ? "shared" : $!{ENOENT} ? "ENOENT" : $!`;
  return (await runIn(guest, [perl, "-e", script])).stdout.toString();
};
const memory = {
  probe: { kind: "read", path: "System V shared memory" } as const,
  itself: await sharedMemory(one.guest, 0o1600),
  other: await sharedMemory(other.guest, 0),
};

const listen = one.link.endpoints.egress?.listen;
if (listen?.kind !== "inherited") throw new Error("the link has no listener of its own");
const egress = await listen.open();
for (const listener of egress.values()) {
  listener.removeAllListeners("connection");
  listener.on("connection", (socket) => socket.on("error", () => {}).end("egress"));
}
const dialEgress: Probe = { kind: "tcp", host: "127.0.0.1", port: 9099 };
const [served = ""] = await probeInside(one.guest, [dialEgress]);
const [outsideServed = ""] = await probeOutside([dialEgress]);
for (const listener of egress.values()) await new Promise((resolve) => listener.close(resolve));
const [closed = ""] = await probeInside(one.guest, [dialEgress]);
for (const listener of (await listen.open()).values()) {
  listener.removeAllListeners("connection");
  listener.on("connection", (socket) => socket.on("error", () => {}).end("egress"));
}
const [after = ""] = await probeInside(one.guest, [dialEgress]);

const report: ReachReport = {
  host: [
    ...probes.map((probe, i) => ({ probe, outside: outside[i] ?? "", inside: inside[i] ?? "" })),
    {
      probe: { kind: "tcp", host: "the link's port, outside", port: 9099 },
      outside: "heard control",
      inside: outsideServed,
    },
  ],
  neighbour: [
    ...OFFERED.map((probe, i) => ({ probe, itself: itself[i] ?? "", other: neighbours[i] ?? "" })),
    ...(memory.itself === "" ? [] : [memory]),
  ],
  link: { served, closed, after },
  network: {
    interfaces: await sh(other.guest, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"),
    routes: await sh(other.guest, "tail -n +2 /proc/net/route; grep -v ' lo$' /proc/net/ipv6_route || :"),
    listeners: await sh(
      other.guest,
      "cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | grep -v local_address | grep -c . || :",
    ),
  },
  neighbourSees: await sh(other.guest, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
};
await one.close();
await other.close();
await removeTree(folder);
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);

/** A name server that has one address for every name. */
function answered(question: Buffer): Buffer | string {
  if (question.length < 17) return "impostor";
  const end = question.indexOf(0, 12) + 5;
  const header = Buffer.from([question[0] ?? 0, question[1] ?? 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  const isAddress = question.readUInt16BE(end - 4) === 1;
  if (!isAddress) header[7] = 0;
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 11, 12, 13]);
  return Buffer.concat([header, question.subarray(12, end), ...(isAddress ? [answer] : [])]);
}
