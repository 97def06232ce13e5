/**
 * Addresses that no route reaches unless the operator said so: this machine, its networks, the metadata
 * services of clouds, and everything that is not plain global unicast. IPv6 forms that carry an IPv4 address
 * are judged by what they carry, so `::ffff:169.254.169.254` is the metadata service too.
 */
import { isIPv4, isIPv6 } from "node:net";

export interface AddressRange {
  readonly bytes: readonly number[];
  readonly bits: number;
}

const REFUSED_V4 = ranges([
  "0.0.0.0/8", // "this network"; on Linux 0.0.0.0 is the own host
  "10.0.0.0/8",
  "100.64.0.0/10", // carrier-grade NAT; some clouds' metadata
  "127.0.0.0/8",
  "168.63.129.16/32", // Azure's platform service, public by its number alone
  "169.254.0.0/16", // link-local; metadata
  "172.16.0.0/12",
  "192.0.0.0/24", // IETF protocols; Oracle's metadata
  "192.0.2.0/24", // documentation, as the other two
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16",
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
]);

/** Only global unicast can be a public service; this is what of it is none. */
const GLOBAL_V6 = ranges(["2000::/3"]);
const REFUSED_V6 = ranges([
  "2001::/23", // Teredo, ORCHID and other protocols
  "2001:db8::/32",
  "3fff::/20",
]);
/** Prefixes after which an IPv4 address stands, and at which byte. */
const CARRIERS: readonly { readonly range: AddressRange; readonly at: number }[] = [
  { range: range("::ffff:0:0/96"), at: 12 },
  { range: range("64:ff9b::/96"), at: 12 },
  { range: range("2002::/16"), at: 2 },
];

/** True when a connection to `address` needs the operator's explicit `allowAddresses`. */
export function isRefused(address: string): boolean {
  const bytes = parseIp(address);
  if (bytes === undefined) return true;
  if (bytes.length === 4) return contains(REFUSED_V4, bytes);
  for (const { range, at } of CARRIERS) {
    if (covers(range, bytes)) return contains(REFUSED_V4, bytes.slice(at, at + 4));
  }
  return !contains(GLOBAL_V6, bytes) || contains(REFUSED_V6, bytes);
}

export function isWithin(allowed: readonly AddressRange[], address: string): boolean {
  const bytes = parseIp(address);
  return bytes !== undefined && contains(allowed, unmapped(bytes));
}

/** `10.0.0.0/8`, `fd00::/8`, or one address; undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  const [address = "", prefix, ...rest] = text.split("/");
  const bytes = parseIp(address);
  if (bytes === undefined || rest.length > 0) return undefined;
  if (prefix !== undefined && !/^[0-9]{1,3}$/.test(prefix)) return undefined;
  const bits = prefix === undefined ? bytes.length * 8 : Number(prefix);
  return bits > bytes.length * 8 ? undefined : { bytes, bits };
}

/** 4 or 16 bytes; undefined for what is no address, and for one with a zone. */
export function parseIp(text: string): readonly number[] | undefined {
  if (isIPv4(text)) return text.split(".").map(Number);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // The URL parser writes embedded IPv4 as groups and leaves one `::` at most.
  const [head = "", tail] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const before = groups(head);
  const after = groups(tail ?? "");
  const zeros = Array<number>(16 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after];
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** An IPv4-mapped address as the IPv4 address that the system will connect to. */
function unmapped(bytes: readonly number[]): readonly number[] {
  const mapped = CARRIERS[0];
  return mapped !== undefined && bytes.length === 16 && covers(mapped.range, bytes) ? bytes.slice(12) : bytes;
}

function contains(list: readonly AddressRange[], bytes: readonly number[]): boolean {
  return list.some((range) => covers(range, bytes));
}

function covers(range: AddressRange, bytes: readonly number[]): boolean {
  if (range.bytes.length !== bytes.length) return false;
  const whole = range.bits >> 3;
  for (let i = 0; i < whole; i++) {
    if (range.bytes[i] !== bytes[i]) return false;
  }
  const rest = range.bits & 7;
  if (rest === 0) return true;
  return ((range.bytes[whole] ?? 0) ^ (bytes[whole] ?? 0)) >> (8 - rest) === 0;
}

function range(text: string): AddressRange {
  const parsed = parseRange(text);
  if (parsed === undefined) throw new Error(`no range: ${text}`);
  return parsed;
}

function ranges(texts: readonly string[]): readonly AddressRange[] {
  return texts.map(range);
}
