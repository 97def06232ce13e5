/**
 * Names of hosts as the allow-list knows them: one spelling for each, so that what the preflight shows is
 * what egress compares. Anything that two programs could read differently is refused: a scheme, a port, user
 * information, a trailing dot, Unicode, and the octal, hexadecimal and short forms of IPv4 addresses.
 */
import { isIP, isIPv4, isIPv6 } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { accept, type Parsed, quoted, reject } from "./parsed.ts";

/** RFC 1035, section 2.3.4. */
const MAX_NAME_LENGTH = 253;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** The WHATWG URL rule by which `127.1` and `0x7f.1` are addresses: the last label is a number. */
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/;
/** `*.com` would be the internet. */
const LABELS_BELOW_WILDCARD = 2;

/** A route's host: a name, an IP literal, or `*.` and a name. Lower case; IPv6 compressed, no brackets. */
export function parseRouteHost(text: string): Parsed<string> {
  if (!text.includes("*")) return parseHost(text);
  const rest = text.startsWith("*.") ? text.slice(2) : "*";
  const name = parseHost(rest);
  if (rest.includes("*") || (name.ok && isIP(name.value) !== 0)) {
    return reject("a wildcard is one *. at the beginning, then a host name: *.example.com");
  }
  if (!name.ok) return name;
  if (name.value.split(".").length < LABELS_BELOW_WILDCARD) {
    return reject(`is too wide: name at least ${LABELS_BELOW_WILDCARD} labels after the *.`);
  }
  return accept(`*.${name.value}`);
}

/** A host without wildcard. */
export function parseHost(text: string): Parsed<string> {
  const shape = misshapen(text);
  if (shape !== undefined) return reject(shape);
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  if (isIPv6(bare)) return bare.includes("%") ? reject("leave the zone out") : accept(compressed(bare));
  if (text.includes(":")) return reject("leave the port out: a route covers the host");
  const name = text.toLowerCase();
  if (isIPv4(name)) return accept(name);
  // A name outside ASCII looks like another one; only its punycode form says which it is.
  if (/[^\u0000-\u007f]/.test(name)) {
    const ascii = domainToASCII(name);
    return reject(ascii === "" ? "is not a host name" : `write its ASCII form: ${quoted(ascii)}`);
  }
  if (name.endsWith(".")) return reject("leave the dot at the end out");
  const labels = name.split(".");
  if (name.length > MAX_NAME_LENGTH || !labels.every((label) => LABEL.test(label))) {
    return reject("is not a host name: labels of letters, digits and dashes, with dots between");
  }
  if (NUMERIC_LABEL.test(labels.at(-1) ?? "")) {
    return reject("is not an IPv4 address in its usual form: four decimal numbers without leading zeros");
  }
  if (!labels.every(isHonestPunycode)) {
    return reject("is not a host name: one of its labels is no valid punycode");
  }
  return accept(name);
}

/**
 * False for a label that claims to be punycode and is not. Asked both ways: Node 24 hands a label that it
 * cannot decode back as it is, Node 20 and 22 give nothing.
 */
function isHonestPunycode(label: string): boolean {
  if (!label.startsWith("xn--")) return true;
  const decoded = domainToUnicode(label);
  return /[^\u0000-\u007f]/.test(decoded) && domainToASCII(decoded) === label;
}

/** Never shows the text: `https://user:password@host` is one of the things people paste. */
function misshapen(text: string): string | undefined {
  if (text === "") return "is empty";
  if (text.includes("@")) return "must be a host alone, without user information";
  if (text.includes("://")) return "must be a host alone, without a scheme such as https://";
  if (/[/?#\\]/.test(text)) return "must be a host alone; paths go into matches";
  if (/[\s%]/.test(text)) return "is not a host name";
  return undefined;
}

function compressed(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

/** `host:port`, with brackets around an IPv6 address. */
export function parseHostPort(text: string): Parsed<{ host: string; port: number }> {
  const split = /^(.*):([0-9]{1,5})$/.exec(text);
  const port = Number(split?.[2]);
  const bareIPv6 = isIPv6(text) || (split?.[1]?.includes(":") && !split[1].startsWith("["));
  if (split === null || bareIPv6) return reject("must be host:port, such as 10.0.0.5:443 or [fd00::5]:443");
  if (port < 1 || port > 65_535) return reject("has a port that is not between 1 and 65535");
  const host = parseHost(split[1] ?? "");
  return host.ok ? accept({ host: host.value, port }) : host;
}

/** An address range (or one address) in CIDR form. A range of everything would be no range. */
export function parseAddressRange(text: string): Parsed<string> {
  const [address = "", prefix, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || address.includes("%") || rest.length > 0) {
    return reject("must be an address range such as 10.1.0.0/16, or one IP address");
  }
  const bits = version === 4 ? 32 : 128;
  const length = prefix === undefined ? bits : /^[0-9]{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length >= 1 && length <= bits)) return reject(`needs a prefix length between 1 and ${bits}`);
  return accept(`${version === 4 ? address : compressed(address)}/${length}`);
}
