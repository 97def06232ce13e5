/**
 * Machines on addresses of their own whose bundle is in a container: a real engine, in a network where nothing else of
 * this host is. What each reaches is asked of its guest; its egress is the real one.
 */

import { writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { ALIASES } from "../../../../src/backends/smolmachines/alias.ts";
import { createSmolmachinesBackend } from "../../../../src/backends/smolmachines/backend.ts";
import { keepSidecar } from "../../../../src/bundle/bundle.ts";
import { mintAuthority } from "../../../../src/bundle/certificate-authority.ts";
import { egressConfig } from "../../../../src/bundle/egress-settings.ts";
import type { ProbeTarget } from "../../../../src/contract/backend.ts";
import { probeTargets } from "../../../../src/jail/guest-probe.ts";
import { verifyIsolation } from "../../../../src/keeper/verification.ts";
import { messageOf } from "../../../../src/lib/errors.ts";
import { runOk } from "../../../../src/lib/processes.ts";
import { sh, startBottle, type TestBottle } from "../../../support/bottle-guest.ts";
import { startEngine } from "../../../support/docker-engine.ts";
import { outerArguments } from "../../../support/outer-network.ts";
import { lastingTracesOf, useSmolvm } from "../../../support/smolmachines-host.ts";

export interface ContainedInput {
  readonly version: string;
  readonly closed?: readonly string[];
  readonly bottles: number;
}

export interface ContainedReport {
  readonly error?: string;
  /** Where each container's port is published. */
  readonly published: readonly string[];
  /** By place, what comes of dialling it from the host. */
  readonly outside: Readonly<Record<string, string>>;
  /** Likewise: the containers' own ports, and 127.0.0.1:9. */
  readonly beside: Readonly<Record<string, string>>;
  readonly guestUrls: readonly string[];
  /** By target: what comes of asking for it from inside each. */
  readonly inside: readonly Readonly<Record<string, string>>[];
  readonly surprises: readonly (readonly string[])[];
  /** What egress says to a request with the bearer, and to one without. */
  readonly said: readonly (readonly string[])[];
  /** Where the containers are, as the engine has it. */
  readonly addresses: readonly string[];
  /** Dialled from the host: the unpublished port on the bottle's address, and in the container. */
  readonly unpublished: string;
  readonly left: readonly string[];
}

const BEARER = "bearer-of-a-test";
/** For somebody on the host to answer. */
const PROBE_MS = 2_000;

function placeOf(at: string): ProbeTarget {
  const [host = "", port = ""] = at.split(":");
  return { host, port: Number(port), transport: "tcp" };
}

function outcomes(results: readonly (ProbeTarget & { outcome: string })[]): Record<string, string> {
  return Object.fromEntries(results.map(({ host, port, outcome }) => [`${host}:${port}`, outcome]));
}

const { resultFile, input } = outerArguments<ContainedInput>();
const engine = await startEngine();
Object.assign(process.env, engine.env);
const docker = async (...words: readonly string[]): Promise<string> =>
  (await runOk(["docker", ...words])).stdout.toString().trim();
const used = useSmolvm(input.version, { closed: input.closed ?? [] });
const backend = createSmolmachinesBackend({ rooms: false });
const bottles: TestBottle[] = [];
const inside: Record<string, string>[] = [];
const surprises: (readonly string[])[] = [];
const said: (readonly string[])[] = [];
const addresses: string[] = [];
const published: string[] = [];
let outside: Record<string, string> = {};
let beside: Record<string, string> = {};
let unpublished = "";
let error: string | undefined;
try {
  for (let i = 0; i < input.bottles; i++) {
    const starting = startBottle(backend, { services: ["egress"], plan: { bundle: "container" } });
    // One more than there are addresses is refused, and those that run go on.
    const bottle = await starting.catch((reason: unknown) => {
      if (i < ALIASES.length) throw reason;
      error = messageOf(reason);
    });
    if (bottle === undefined) break;
    bottles.push(bottle);
    const endpoint = bottle.link.endpoints.egress;
    if (endpoint === undefined) throw new Error("no egress");
    const policy = { routes: [], known: [], rules: [], upstreamCa: [] };
    await keepSidecar(
      {
        ...{
          name: "egress",
          id: bottle.id,
          place: { kind: "contained" },
          endpoint: Promise.resolve(endpoint),
        },
        config: async (at) =>
          egressConfig({
            ...{ id: bottle.id, authority: await mintAuthority(bottle.id), endpoint: at, bearer: BEARER },
            ...{ policy, findingsKey: "00".repeat(32) },
          }),
        policy: () => policy,
        onNotice: async () => {},
      },
      bottle.scope,
    );
    const lines = await docker("port", `bot-bottle-${bottle.id}-sidecars`);
    published.push(/-> (127\.0\.0\.\d+:\d+)/.exec(lines)?.[1] ?? lines);
    addresses.push(
      await docker(
        ...["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}"],
        `bot-bottle-${bottle.id}-sidecars`,
      ),
    );
  }
  const links = bottles.map(({ link }) => new URL(link.endpoints.egress?.guestUrl ?? ""));
  const discard = createServer((socket) => socket.on("error", () => {}).end());
  await new Promise<void>((resolve) => discard.listen(9, "127.0.0.1", resolve));
  const theirs: ProbeTarget[] = [
    ...addresses.map((each) => ({ host: each.split(" ")[0] ?? "", port: 9_099, transport: "tcp" as const })),
    { host: "127.0.0.1", port: 9, transport: "tcp" },
  ];
  const places: ProbeTarget[] = [
    ...[...new Set([...links.map(({ host }) => host), ...published])].map(placeOf),
    ...published.map((at) => ({ ...placeOf(at), port: 9_099 })),
    ...theirs,
  ];
  beside = outcomes(await probeTargets(theirs, PROBE_MS));
  outside = outcomes(await probeTargets(published.map(placeOf), PROBE_MS));
  for (const { guest, link } of bottles) {
    const results = await guest.probe(places);
    inside.push(outcomes(results));
    surprises.push((await verifyIsolation(guest, link)).surprises);
    const url = new URL(link.endpoints.egress?.guestUrl ?? "");
    const ask = (proxy: string) =>
      sh(
        guest,
        `curl -s -o /dev/null -D - --proxy ${proxy} http://elsewhere.test/ | tr -d '\\r' | sed -n 's/^x-bottle-denied: //p'`,
      );
    said.push(await Promise.all([ask(`http://bottle:${BEARER}@${url.host}`), ask(url.href)]));
  }
  unpublished = await new Promise<string>((resolve) => {
    const socket = createConnection({ host: published[0]?.split(":")[0] ?? "", port: 9_099 });
    socket.once("connect", () => resolve("answered"));
    socket.once("error", (reason) => resolve((reason as NodeJS.ErrnoException).code ?? ""));
  });
} catch (reason) {
  error = messageOf(reason);
}
const left: string[] = [];
for (const bottle of bottles) {
  await bottle.scope.close();
  left.push(...(await lastingTracesOf(bottle)));
  const names = [
    await docker("ps", "--all", "--format", "{{.Names}}"),
    await docker("network", "ls", "--format", "{{.Name}}"),
  ].flatMap((text) => text.split("\n"));
  left.push(...names.filter((name) => name.includes(bottle.id)));
  await bottle.close();
}
const guestUrls = bottles.map(({ link }) => link.endpoints.egress?.guestUrl ?? "");
used.undo();
await engine.close();
const report: ContainedReport = {
  ...(error !== undefined && { error }),
  ...{ guestUrls, published, outside, beside, inside, surprises, said, addresses, unpublished, left },
};
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);
