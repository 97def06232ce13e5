/**
 * A guest's network as its VMM carries it: what listens in the VMM's network is listened for in the guest's, where
 * the release and the policy put it, and each connection there becomes one of the VMM's. Looked at anew all the time,
 * so a port that opens is there a moment later.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { ALIASES } from "../../../src/backends/smolmachines/alias.ts";
import { GATEWAY, type Reach } from "./reach.ts";

const LOOK_EVERY_MS = 20;
/** Whether or not anything seems to have changed: one socket may have come for another that went. */
const LOOK_ANYWAY_MS = 1_000;
const LISTENING = "0A";

/** To the helper: all that it is to listen for. */
export interface Wanted {
  readonly tcp: readonly string[];
  readonly dns: readonly string[];
}
/** From it, with the connection as handle; or a DNS question. */
export type FromGuest = { readonly at: string } | { readonly question: string; readonly id: number };
export interface DnsAnswer {
  readonly id: number;
  readonly answer: string;
}

type Mirrored = Extract<Reach, { kind: "mirrored" }>;

export async function openNetwork(guestPid: number, reach: Mirrored, helperFile: string): Promise<void> {
  const helper: ChildProcess = spawn(
    "nsenter",
    [`--net=/proc/${guestPid}/ns/net`, "--", process.execPath, helperFile],
    {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    },
  );
  await new Promise((resolve) => helper.once("message", resolve));
  /** Where in the guest, and where that leads to. */
  const leads = new Map<string, string>();
  let told = "";
  let sockets = "";
  let looked = 0;
  const look = (): void => {
    // The list of listeners takes the kernel milliseconds, because it walks through every network's; the number none.
    const count = socketCount();
    if (count === sockets && Date.now() - looked < LOOK_ANYWAY_MS) return;
    sockets = count;
    looked = Date.now();
    const now = new Map(listeners().flatMap((place) => mirrorOf(place, reach)));
    leads.clear();
    for (const [at, to] of now) leads.set(at, to);
    const dns = [...(reach.answersDns ? [GATEWAY] : []), ...named(reach)];
    const wanted: Wanted = { tcp: [...now.keys()].sort(), dns };
    if (JSON.stringify(wanted) === told) return;
    told = JSON.stringify(wanted);
    helper.send(wanted);
  };
  helper.on("message", (message: FromGuest, handle) => {
    if ("at" in message) carry(handle as Socket, leads.get(message.at));
    else
      askResolver(Buffer.from(message.question, "base64"), (answer) => {
        helper.send({ id: message.id, answer: answer.toString("base64") } satisfies DnsAnswer);
      });
  });
  look();
  setInterval(look, LOOK_EVERY_MS);
}

/** Addresses whose DNS is simply reachable. */
function named(reach: Mirrored): readonly string[] {
  return ["1.1.1.1", "8.8.8.8"].filter((address) => reach.mirrors(address) !== undefined);
}

/** `address:port` as the guest sees it, and as the VMM does. */
function mirrorOf(
  place: { address: string; port: number },
  reach: Mirrored,
): readonly (readonly [string, string])[] {
  const addresses =
    place.address === "0.0.0.0"
      ? [
          "127.0.0.1",
          // Linux has all of 127/8 on its loopback, and a Mac the pool's.
          ...ALIASES,
          ...Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
        ]
      : [place.address];
  return addresses.flatMap((address) => {
    const at = reach.mirrors(address);
    return at === undefined ? [] : [[`${at}:${place.port}`, `${address}:${place.port}`] as const];
  });
}

function socketCount(): string {
  return /^TCP: inuse \d+/m.exec(readFileSync("/proc/self/net/sockstat", "latin1"))?.[0] ?? "";
}

function listeners(): readonly { address: string; port: number }[] {
  return readFileSync("/proc/self/net/tcp", "latin1")
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state] = line.trim().split(/\s+/);
      if (state !== LISTENING) return [];
      const [hex = "", port = ""] = local.split(":");
      return [{ address: [...Buffer.from(hex, "hex")].reverse().join("."), port: Number.parseInt(port, 16) }];
    });
}

function carry(inner: Socket, to: string | undefined): void {
  if (to === undefined) return void inner.destroy();
  const [host = "", port = ""] = to.split(":");
  const outer = connect({ host, port: Number(port), allowHalfOpen: true });
  for (const [one, other] of [
    [inner, outer],
    [outer, inner],
  ] as const) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
    one.pipe(other);
  }
  inner.resume();
}

function askResolver(question: Buffer, then: (answer: Buffer) => void): void {
  const socket = createSocket("udp4");
  const [, resolver = "1.1.1.1"] =
    /^nameserver\s+(\d[\d.]+)/m.exec(readFileSync("/etc/resolv.conf", "utf8")) ?? [];
  const close = (): void => {
    try {
      socket.close();
    } catch {}
  };
  socket.on("error", close);
  socket.once("message", (answer) => {
    then(answer);
    close();
  });
  setTimeout(close, 3_000).unref();
  socket.connect(53, resolver, (error?: Error) => (error ? close() : socket.send(question)));
}
