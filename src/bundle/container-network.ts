/** The network of a bundle's container: a subnet of its own, found from the bottle's id. */
import { createHash } from "node:crypto";
import { networkInterfaces } from "node:os";
import { type Engine, ensureNetwork, removeNetwork, usedSubnets } from "../engine/engine.ts";
import { bottleLabels } from "../engine/labels.ts";
import { UserError } from "../lib/errors.ts";
import type { Scope } from "../lib/scope.ts";

export interface BundleSubnet {
  readonly subnet: string;
  readonly gateway: string;
  /** Of the bundle's container. */
  readonly address: string;
}

/** 192.168.0.0/24 to 192.168.253.0/24; the last ones are many a home router's own. */
const SUBNETS = 254;

/** Bottles that start in the same moment and are led to the same subnet: each time one of them gets it. */
const MAX_RACES_LOST = 16;

/** Makes the bottle's network; it goes with the scope. @throws UserError */
export async function openBundleNetwork(
  engine: Engine,
  id: string,
  scope: Scope,
): Promise<BundleSubnet & { readonly name: string }> {
  const name = `bot-bottle-${id}-net`;
  scope.defer(`network ${name}`, async () => {
    const warning = await removeNetwork(engine, name);
    if (warning !== undefined) throw new Error(warning);
  });
  const lost: string[] = [];
  for (;;) {
    const place = subnetFor(id, [...(await usedSubnets(engine, name)), ...lost]);
    const { subnet, gateway } = place;
    if (await ensureNetwork(engine, { name, subnet, gateway, labels: bottleLabels(id) })) {
      return { name, ...place };
    }
    lost.push(subnet);
    if (lost.length > MAX_RACES_LOST) {
      throw new UserError(`the engine has no room for a network: not for ${lost.join(", ")}`, {
        hint: "bottle cleanup, or remove networks of your own: docker network prune",
      });
    }
  }
}

/**
 * The one that the id leads to, or the next that nobody uses: a network of the engine's, or an interface of the host.
 * @param used subnets in CIDR form.
 * @throws UserError when none is free.
 */
function subnetFor(id: string, used: readonly string[]): BundleSubnet {
  const taken = new Set([...used, ...hostSubnets()].flatMap(thirdNumbers));
  const first = createHash("sha256").update(id).digest().readUInt32BE(0) % SUBNETS;
  for (let step = 0; step < SUBNETS; step++) {
    const number = (first + step) % SUBNETS;
    if (taken.has(number)) continue;
    return {
      subnet: `192.168.${number}.0/24`,
      gateway: `192.168.${number}.1`,
      address: `192.168.${number}.2`,
    };
  }
  throw new UserError("every subnet of 192.168.0.0/16 is in use", {
    hint: "bottle cleanup, or remove networks of your own: docker network prune",
  });
}

/** The name under which an operator's route may lead to the host itself: `connect_to: host.docker.internal:8443`. */
export const HOST_ITSELF = "host.docker.internal";

/** Docker Desktop answers to that name by itself, with an address that is not the network's gateway. */
export function hostNames({ gateway }: BundleSubnet): Readonly<Record<string, string>> {
  return process.platform === "linux" ? { [HOST_ITSELF]: gateway } : {};
}

/** What of 192.168.0.0/16 lies in `cidr`, by its third number. */
function thirdNumbers(cidr: string): readonly number[] {
  const [, a, b, c, prefix] = /^(\d+)\.(\d+)\.(\d+)\.\d+\/(\d+)$/.exec(cidr)?.map(Number) ?? [];
  if (a === undefined || b === undefined || c === undefined || prefix === undefined) return [];
  if (prefix >= 24) return a === 192 && b === 168 ? [c] : [];
  const size = 2 ** (24 - prefix);
  const from = Math.floor(((a * 256 + b) * 256 + c) / size) * size;
  const start = (192 * 256 + 168) * 256;
  return Array.from({ length: SUBNETS }, (_, i) => i).filter(
    (i) => start + i >= from && start + i < from + size,
  );
}

function hostSubnets(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).flatMap(({ cidr, family }) => (family === "IPv4" && cidr !== null ? [cidr] : [])),
  );
}
