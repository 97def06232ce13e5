/**
 * ssh's configuration for one upstream: all of it, since neither the user's nor the system's is read. A host that
 * does not show a pinned key is not talked to, nothing is learnt, nobody is asked, nothing is forwarded.
 */
import type { GitUpstream } from "../../../contract/git-gate.ts";

/** The name under which git and known_hosts know the upstream: no error text of theirs holds its real one. */
export const HOST_ALIAS = "upstream";

export function knownHosts(hostKeys: readonly string[]): string {
  return hostKeys.map((key) => `${HOST_ALIAS} ${key}\n`).join("");
}

export interface SshFiles {
  /** The agent's socket. */
  readonly agent: string;
  readonly knownHosts: string;
  /** Chooses among the agent's keys. */
  readonly publicKey: string | undefined;
  /** Where a connection may be shared. */
  readonly control: string | undefined;
}

export function sshSettings(upstream: Extract<GitUpstream, { kind: "ssh" }>, files: SshFiles): string {
  const lines: readonly (readonly [string, string])[] = [
    ["HostName", word(upstream.host)],
    ["Port", String(upstream.port)],
    ["User", word(upstream.user)],
    ["HostKeyAlias", HOST_ALIAS],
    ["UserKnownHostsFile", path(files.knownHosts)],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["StrictHostKeyChecking", "yes"],
    ["UpdateHostKeys", "no"],
    ["CheckHostIP", "no"],
    ["VerifyHostKeyDNS", "no"],
    ["BatchMode", "yes"],
    ["IdentityAgent", path(files.agent)],
    ...(files.publicKey === undefined
      ? ([["IdentityFile", "none"]] as const)
      : ([
          ["IdentityFile", path(files.publicKey)],
          ["IdentitiesOnly", "yes"],
        ] as const)),
    ["PreferredAuthentications", "publickey"],
    ["ForwardAgent", "no"],
    ["ForwardX11", "no"],
    ["ClearAllForwardings", "yes"],
    ["PermitLocalCommand", "no"],
    ["ControlMaster", "no"],
    ["ControlPath", files.control === undefined ? "none" : path(files.control)],
    ["ProxyCommand", "none"],
    ["Compression", "no"],
    ["ConnectTimeout", "15"],
    // A quiet upstream may be running its hooks; a dead one does not answer these.
    ["ServerAliveInterval", "15"],
    ["ServerAliveCountMax", "4"],
    ["LogLevel", "ERROR"],
  ];
  return `Host ${HOST_ALIAS}\n${lines.map(([key, value]) => `  ${key} ${value}\n`).join("")}`;
}

/** The contract's schema lets no quote, space or control character into it. */
function word(text: string): string {
  return text.replaceAll("%", "%%");
}

/** @throws Error for a path that ssh's configuration cannot name. */
function path(text: string): string {
  if (/["\\\n\r]|\$\{/.test(text)) throw new Error("a folder's name has a character that ssh cannot be told");
  return `"${text.replaceAll("%", "%%")}"`;
}
