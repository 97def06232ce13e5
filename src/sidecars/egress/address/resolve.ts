/**
 * The address check. A host is resolved once; every address it has must be fit to dial, or none is (a name
 * with one public and one private address is how DNS rebinding begins); and what is dialled is one of the
 * very addresses that were checked, never the name again.
 */
import { lookup } from "node:dns";
import { isIP } from "node:net";
import { codeOf } from "../../../lib/errors.ts";
import { printable } from "../../../lib/printable.ts";
import { allow, refuse, type Verdict } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { isRefused, isWithin } from "./ranges.ts";

/** All addresses of a name, in the order in which to try them. Rejects when there are none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface Destination {
  /** At least one; checked. */
  readonly addresses: readonly string[];
  readonly port: number;
}

export async function addressesOf(
  route: CompiledRoute,
  host: string,
  port: number,
  resolve: Resolve,
  timeoutMs: number,
): Promise<Verdict<Destination>> {
  const to = route.connectTo ?? { host, port };
  const isLiteral = isIP(to.host) !== 0;
  // An address that the operator wrote down as the destination is permission for that address.
  if (isLiteral && route.connectTo !== undefined) return allow({ addresses: [to.host], port: to.port });
  const found = isLiteral ? allow([to.host]) : await resolveOnce(to.host, route, resolve, timeoutMs);
  if (!found.allow) return found;
  const unfit = found.value.find((address) => !isFit(route, address));
  if (unfit !== undefined) {
    return refuse(
      "address-refused",
      `${to.host} leads to an address that is private, local or reserved`,
      `route ${route.host}: ${printable(unfit)} is not within its allow_addresses`,
    );
  }
  return allow({ addresses: found.value, port: to.port });
}

/** Whether `route` may lead to `address`. */
export function isFit(route: CompiledRoute, address: string): boolean {
  return !isRefused(address) || isWithin(route.allowed, address);
}

async function resolveOnce(
  name: string,
  route: CompiledRoute,
  resolve: Resolve,
  timeoutMs: number,
): Promise<Verdict<readonly string[]>> {
  let why = "ENODATA";
  try {
    const addresses = await resolveWithin(timeoutMs, name, resolve);
    if (addresses.length > 0) return allow([...new Set(addresses)]);
  } catch (error) {
    why = codeOf(error) ?? "error";
  }
  return refuse(
    "upstream-unresolvable",
    `the name ${name} has no address (${why})`,
    `route ${route.host}: its name must resolve, or the route needs connect_to`,
  );
}

/** Those that are known by then; none is no error. */
export function knownAddresses(ms: number, name: string, resolve: Resolve): Promise<readonly string[]> {
  return resolveWithin(ms, name, resolve).catch(() => []);
}

/** Rejects with the code ETIMEOUT when there is no answer by then. */
async function resolveWithin(ms: number, name: string, resolve: Resolve): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error("no answer"), { code: "ETIMEOUT" })), ms);
  });
  return Promise.race([resolve(name), late]).finally(() => clearTimeout(timer));
}

/** Questions under way: who asks the same meanwhile gets the same answer. The system answers four at a time. */
const asked = new Map<string, Promise<readonly string[]>>();

/** The system's resolver: hosts file, search order and all. */
export const systemResolve: Resolve = (host) => {
  const underWay = asked.get(host);
  if (underWay !== undefined) return underWay;
  const answer = new Promise<readonly string[]>((resolve, reject) => {
    lookup(host, { all: true, verbatim: true }, (error, addresses) => {
      asked.delete(host);
      if (error !== null) reject(error);
      else resolve(addresses.map(({ address }) => address));
    });
  });
  asked.set(host, answer);
  return answer;
};
