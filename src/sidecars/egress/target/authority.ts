/**
 * Names of hosts as they come over the wire, brought into one spelling or not accepted at all. Stops:
 * a host that the allow-list reads one way and a resolver another (octal, hexadecimal and short IPv4, a
 * Kelvin sign that lower-cases to k, user information before an @, a zone, an escape).
 */
import { isIPv4, isIPv6 } from "node:net";

/** RFC 1035, section 2.3.4; plus brackets or a final dot. */
const MAX_LENGTH = 255;
/** Letters, digits, dashes within; underscores because real hosts have them. ASCII only, before lower-casing. */
const NAME =
  /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$/;
/** The WHATWG rule by which `127.1`, `0x7f.1` and `2130706433` are addresses: the last label is a number. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$/i;

/**
 * Lower case without final dot; IPv4 as four decimal numbers, IPv6 compressed and without brackets.
 * Undefined for whatever is not exactly a host.
 */
export function canonicalHost(text: string): string | undefined {
  if (text.length === 0 || text.length > MAX_LENGTH) return undefined;
  if (text.startsWith("[")) return text.endsWith("]") ? canonicalIPv6(text.slice(1, -1)) : undefined;
  if (ENDS_IN_NUMBER.test(text)) return isIPv4(text) ? text : undefined;
  if (!NAME.test(text)) return undefined;
  const name = text.toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

export function canonicalIPv6(text: string): string | undefined {
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

export interface Authority {
  readonly host: string;
  readonly port: number | undefined;
}

/** `host`, `host:port` or `[v6]:port`; undefined for anything else, user information included. */
export function parseAuthority(text: string): Authority | undefined {
  const split = /^(.*?)(?::([0-9]{1,5}))?$/s.exec(text);
  const host = canonicalHost(split?.[1] ?? "");
  if (host === undefined) return undefined;
  const digits = split?.[2];
  return { host, port: digits === undefined ? undefined : Number(digits) };
}

/** As it stands in a URL or a Host header. */
export function hostInUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
