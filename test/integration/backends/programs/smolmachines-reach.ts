/** Starts smolmachines bottles where impostors own the world's addresses, and reports who could be reached. */
import { createSocket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createSmolmachinesBackend } from "../../../../src/backends/smolmachines/backend.ts";
import type { ProbeTarget } from "../../../../src/contract/backend.ts";
import { probeTargets } from "../../../../src/jail/guest-probe.ts";
import { verifyIsolation } from "../../../../src/keeper/verification.ts";
import { messageOf } from "../../../../src/lib/errors.ts";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { startBottle, type TestBottle, temporaryFolder } from "../../../support/bottle-guest.ts";
import { IMPOSTORS, outerArguments } from "../../../support/outer-network.ts";
import { lastingTracesOf, useSmolvm } from "../../../support/smolmachines-host.ts";

export interface ReachInput {
  readonly version: string;
  readonly closed?: readonly string[];
  readonly opened?: readonly string[];
  readonly failing?: readonly string[];
  /** The VMM may have a network namespace of its own. */
  readonly rooms: boolean;
  /** Something of the host's listens on all its addresses, at this port. */
  readonly everywhere?: number;
  /** So many more do. */
  readonly crowd?: number;
  /** Somebody of the host's has these ports of the first bottle's own address. */
  readonly besides?: readonly { readonly port: number; readonly transport: "tcp" | "udp" }[];
  /** Such ports that the bottle lists. */
  readonly hostServices?: readonly number[];
  /** Bottles at once. */
  readonly bottles?: number;
}

export interface ReachReport {
  readonly error?: string;
  /** By target, what comes of asking for it: from the host's own network, and from inside each bottle. */
  readonly outside: Readonly<Record<string, string>>;
  readonly inside: readonly Readonly<Record<string, string>>[];
  /** What the keeper's own verification says of each. */
  readonly surprises: readonly (readonly string[])[];
  readonly guestUrls: readonly string[];
  readonly left: readonly string[];
}

const { resultFile, input } = outerArguments<ReachInput>();
const { resolver, otherResolver, metadata, gateway } = IMPOSTORS;

async function listen(host: string, port: number): Promise<number> {
  const server = createServer((socket) => socket.on("error", () => {}).end("hello"));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  server.unref();
  return (server.address() as { port: number }).port;
}

async function answer(host: string, port: number): Promise<void> {
  const socket = createSocket("udp4", (message, from) => socket.send(message, from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  socket.unref();
}

const secret = await listen("127.0.0.1", 0);
const targets: ProbeTarget[] = [
  { host: resolver, port: await listen(resolver, 443), transport: "tcp" },
  { host: otherResolver, port: await listen(otherResolver, 53), transport: "tcp" },
  { host: metadata, port: await listen(metadata, 80), transport: "tcp" },
  { host: gateway, port: await listen(gateway, 80), transport: "tcp" },
  { host: "127.0.0.1", port: secret, transport: "tcp" },
  { host: "127.0.0.1", port: await listen("127.0.0.1", 9), transport: "tcp" },
  { host: resolver, port: 53, transport: "udp" },
];
/** Which a guest may see that has their address for its own. */
const others: ProbeTarget[] = [];
await answer(resolver, 53);
for (const { port, transport } of input.besides ?? [])
  await (transport === "tcp" ? listen : answer)("127.0.0.16", port);
for (let i = 0; i < (input.crowd ?? 0); i++) await listen("0.0.0.0", 0);
if (input.everywhere !== undefined) await listen("0.0.0.0", input.everywhere);

const nameOf = ({ transport, host, port }: ProbeTarget): string =>
  `${transport} ${host}:${port === secret ? "secret" : port}`;
const outcomes = (results: readonly (ProbeTarget & { outcome: string })[]): Record<string, string> =>
  Object.fromEntries(results.map((result) => [nameOf(result), result.outcome]));

const used = useSmolvm(input.version, {
  ...{ closed: input.closed ?? [], opened: input.opened ?? [], failing: input.failing ?? [] },
});
const bottles: TestBottle[] = [];
const inside: Record<string, string>[] = [];
const surprises: (readonly string[])[] = [];
const left: string[] = [];
let error: string | undefined;
const backend = createSmolmachinesBackend({ rooms: input.rooms });
try {
  for (let i = 0; i < (input.bottles ?? 1); i++) {
    const folder = await temporaryFolder();
    const starting = startBottle(backend, {
      folder,
      services: ["egress"],
      plan: { hostServices: input.hostServices ?? [] },
    });
    const bottle = await starting.catch(async (reason: unknown) => {
      error = messageOf(reason);
      left.push(
        ...(await lastingTracesOf({ stateDir: join(folder, "state"), runtimeDir: join(folder, "run") })),
      );
      await removeTree(folder);
    });
    // One more than there are addresses is refused, and those that run go on.
    if (bottle === undefined) break;
    bottles.push(bottle);
    // In place of the sidecar.
    const listening = bottle.link.endpoints.egress?.listen;
    if (listening?.kind === "tcp") await listen(listening.host, listening.port);
    if (listening?.kind === "inherited")
      for (const server of (await listening.open()).values())
        server
          .removeAllListeners("connection")
          .on("connection", (socket) => socket.on("error", () => {}).end("hello"));
    // As a bundle's unpublished port would be: beside the first bottle's own.
    if (i === 0 && (input.bottles ?? 1) > 1 && !input.rooms)
      others.push({ host: "127.0.0.16", port: await listen("127.0.0.16", 8_888), transport: "tcp" });
  }
  // The stand-in looks what listens every few milliseconds.
  await pause(300);
  const links = bottles.map(({ link }) => new URL(link.endpoints.egress?.guestUrl ?? ""));
  for (const [i, { guest, link }] of bottles.entries()) {
    const more: ProbeTarget[] = [
      ...links.map(
        ({ hostname, port }): ProbeTarget => ({ host: hostname, port: Number(port), transport: "tcp" }),
      ),
      { host: "100.96.0.1", port: secret, transport: "tcp" },
      { host: "100.96.0.1", port: 53, transport: "udp" },
      ...(input.everywhere === undefined
        ? []
        : [{ host: links[i]?.hostname ?? "", port: input.everywhere, transport: "tcp" } as const]),
      ...(i === 0 ? [] : others),
    ];
    inside.push(outcomes(await guest.probe([...targets, ...more])));
    surprises.push((await verifyIsolation(guest, link)).surprises);
  }
} catch (reason) {
  error = messageOf(reason);
}
const outside = outcomes(await probeTargets([...targets, ...others], 1_000));
for (const bottle of bottles) {
  await bottle.scope.close();
  left.push(...(await lastingTracesOf(bottle)));
  await removeTree(bottle.folder);
}
used.undo();
const report: ReachReport = {
  ...(error !== undefined && { error }),
  ...{ outside, inside, surprises, left },
  guestUrls: bottles.map(({ link }) => link.endpoints.egress?.guestUrl ?? ""),
};
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);
