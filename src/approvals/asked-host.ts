/**
 * A host that an agent asks for: read as the manifest reads one, and narrower. A whole name, never an address and
 * never a name that only this machine or its network knows: where those lead is the operator's to write.
 */
import { isIP } from "node:net";
import { domainToUnicode } from "node:url";
import { parseHost } from "../lib/host.ts";
import { type Parsed, reject } from "../lib/parsed.ts";

/** RFC 6761, 6762, 8375, and what clouds and companies use inside. */
const INSIDE = /(?:^|\.)(?:localhost|local|internal|intranet|lan|home|corp|private|home\.arpa|localdomain)$/;

export function parseAskedHost(text: string): Parsed<string> {
  if (text.includes("*"))
    return reject("a wildcard is the operator's to write: ask for each host by its name");
  const parsed = parseHost(text);
  if (!parsed.ok) return parsed;
  if (isIP(parsed.value) !== 0)
    return reject("addresses are the operator's to write: ask for a host by its name");
  if (!parsed.value.includes(".") || INSIDE.test(parsed.value)) {
    return reject("is a name of this machine or its network, where no grant leads");
  }
  return parsed;
}

const SCRIPTS = [
  "Latin",
  "Cyrillic",
  "Greek",
  "Armenian",
  "Hebrew",
  "Arabic",
  "Han",
  "Hiragana",
  "Katakana",
  "Hangul",
];

/**
 * What a person should know before they read a host name for another one: it is shown in its ASCII form, and its
 * letters are named, never drawn, because some of them look like others.
 */
export function warningsOfHost(host: string): readonly string[] {
  const foreign = host
    .split(".")
    .filter((label) => label.startsWith("xn--"))
    .map((label) => domainToUnicode(label));
  if (foreign.length === 0) return [];
  const scripts = SCRIPTS.filter((name) => new RegExp(`\\p{Script=${name}}`, "u").test(foreign.join("")));
  const letters = scripts.length === 0 ? "letters of an uncommon script" : `${scripts.join(" and ")} letters`;
  return [`${host} is an internationalised name with ${letters}: on a screen it may look like another one`];
}
