/**
 * The operator's own `known_hosts`, read to suggest a `host_key` and for nothing else: what is trusted is what the
 * manifest says. Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
 */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** More is no list of hosts. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Strongest first; the first that the file has is suggested. */
const PREFERENCE = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-rsa",
] as const;
const SSH_PORT = 22;

/** `ssh-ed25519 AAAA…` for this host, or undefined when `~/.ssh/known_hosts` has none. */
export function suggestedHostKey(userHome: string, host: string, port: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(userHome, ".ssh", "known_hosts"), "latin1");
  } catch {
    return undefined;
  }
  return text.length > MAX_BYTES ? undefined : hostKeyIn(text, host, port);
}

/** The same for the file's text. */
export function hostKeyIn(text: string, host: string, port: number): string | undefined {
  const name = port === SSH_PORT ? host : `[${host}]:${port}`;
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    // `@revoked` and `@cert-authority` lines begin with something else than hosts.
    const [hosts = "", type = "", key = ""] = line.trim().split(/\s+/);
    if (!isHostKey(`${type} ${key}`) || found.has(type) || !names(hosts, name)) continue;
    found.set(type, `${type} ${key}`);
  }
  return PREFERENCE.map((type) => found.get(type)).find((key) => key !== undefined);
}

/** A key's type and its base64, which begins with the same type in binary. */
export function isHostKey(text: string): boolean {
  const [type = "", key = "", ...rest] = text.split(" ");
  if (rest.length > 0 || !/^[a-z0-9@.-]+$/.test(type) || !/^[A-Za-z0-9+/]+={0,2}$/.test(key)) return false;
  const bytes = Buffer.from(key, "base64");
  return (
    bytes.length > 4 + type.length &&
    bytes.readUInt32BE(0) === type.length &&
    bytes.subarray(4, 4 + type.length).toString("latin1") === type
  );
}

/** Patterns with wildcards are left alone: a suggestion should be for this very host. */
function names(hosts: string, name: string): boolean {
  const hashed = /^\|1\|([A-Za-z0-9+/=]+)\|([A-Za-z0-9+/=]+)$/.exec(hosts);
  if (hashed === null) return hosts.split(",").includes(name);
  const [, salt = "", hash] = hashed;
  return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
}
