/**
 * The guest's `.git/config`, written from the operator's. Contract: an allow-list. What names a program, a file
 * or a credential (helpers, hooks, filters, headers, includes, URLs with a user's password) has no way in, nor
 * has any key that git may learn tomorrow.
 */
import { type ConfigSection, renderGitConfig } from "../git-config.ts";
import { gitOk } from "./host-git.ts";
import type { HostRepository } from "./repository.ts";

const BOOLEAN = /^(true|false)$/;

/** Keys that only say how files are compared, with the values they may have. */
const CORE_KEYS: ReadonlyMap<string, RegExp> = new Map([
  ["filemode", BOOLEAN],
  ["ignorecase", BOOLEAN],
  ["symlinks", BOOLEAN],
  ["precomposeunicode", BOOLEAN],
  ["sparsecheckout", BOOLEAN],
  ["sparsecheckoutcone", BOOLEAN],
  ["autocrlf", /^(true|false|input)$/],
  ["eol", /^(lf|crlf|native)$/],
]);

const REMOTE_NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$/;
const FETCH_SPEC = /^\+?refs\/[^\s:]+:refs\/remotes\/[^\s:]+$/;
const BRANCH_REF = /^refs\/heads\/[^\s\u0000-\u001f\u007f]+$/;
const CONTROL = /[\u0000-\u001f\u007f]/;

export interface PublicConfig {
  readonly text: string;
  /** Objects may be missing here, to be fetched when needed. */
  readonly isPartial: boolean;
}

/** What a remote's URL is called in the guest, where that is something else; `folder` is what a relative one starts at. */
export type RemoteUrl = (url: string, folder: string) => string | undefined;

/** Reads the operator's settings (all levels: how lines end is often a personal one) and keeps what may be known. */
export async function publicConfig(
  repository: HostRepository,
  remoteUrl: RemoteUrl = () => undefined,
): Promise<PublicConfig> {
  const listed = await gitOk(repository.place, ["config", "--list", "-z"]);
  return rebuild(parseSettings(listed.toString("utf8")), repository.objectFormat, (url) =>
    remoteUrl(url, repository.root),
  );
}

/** One setting; section and key in lower case, as git prints them. */
export interface Setting {
  readonly section: string;
  readonly subsection: string | undefined;
  readonly key: string;
  readonly value: string;
}

/** Parses `git config --list -z`: `key\nvalue` records; a key may have dots and, in the middle, anything. */
export function parseSettings(listed: string): readonly Setting[] {
  return listed.split("\0").flatMap((record): Setting[] => {
    const newline = record.indexOf("\n");
    // No value at all means true.
    const [name, value] =
      newline < 0 ? [record, "true"] : [record.slice(0, newline), record.slice(newline + 1)];
    const first = name.indexOf(".");
    const last = name.lastIndexOf(".");
    if (first < 0) return [];
    const subsection = first === last ? undefined : name.slice(first + 1, last);
    return [{ section: name.slice(0, first), subsection, key: name.slice(last + 1), value }];
  });
}

/** What of `settings` a guest may see. */
export function rebuild(
  settings: readonly Setting[],
  objectFormat: "sha1" | "sha256",
  remoteUrl: (url: string) => string | undefined = () => undefined,
): PublicConfig {
  const core = new Map<string, string>([
    ["bare", "false"],
    ["logallrefupdates", "true"],
  ]);
  const extensions = new Map<string, string>();
  const remotes = new Map<string, Map<string, string>>();
  const branches = new Map<string, Map<string, string>>();
  const put = (into: Map<string, Map<string, string>>, name: string, key: string, value: string): void => {
    const values = into.get(name) ?? new Map<string, string>();
    into.set(name, values.set(key, value));
  };
  for (const { section, subsection, key, value } of settings) {
    if (section === "core" && subsection === undefined && CORE_KEYS.get(key)?.test(value) === true) {
      core.set(key, value);
    } else if (section === "remote" && subsection !== undefined && REMOTE_NAME.test(subsection)) {
      const url = key === "url" ? (remoteUrl(value) ?? publicUrl(value)) : undefined;
      if (url !== undefined) put(remotes, subsection, "url", url);
      if (key === "fetch" && FETCH_SPEC.test(value)) put(remotes, subsection, "fetch", value);
      if (key === "promisor" && value === "true") {
        put(remotes, subsection, "promisor", "true");
        extensions.set("partialClone", subsection);
      }
    } else if (section === "branch" && subsection !== undefined && !CONTROL.test(subsection)) {
      if (key === "remote" && (value === "." || REMOTE_NAME.test(value)))
        put(branches, subsection, key, value);
      if (key === "merge" && BRANCH_REF.test(value)) put(branches, subsection, key, value);
    }
  }
  if (objectFormat === "sha256") extensions.set("objectFormat", "sha256");
  const sections: ConfigSection[] = [
    { name: "core", values: [["repositoryformatversion", extensions.size > 0 ? "1" : "0"], ...core] },
    { name: "extensions", values: [...extensions] },
    ...[...remotes].map(([name, values]) => ({ name: "remote", subsection: name, values: [...values] })),
    ...[...branches].map(([name, values]) => ({ name: "branch", subsection: name, values: [...values] })),
  ];
  return { text: renderGitConfig(sections), isPartial: extensions.has("partialClone") };
}

/** `user@` as in `git@host` is an account of the service's, not a person's; a password is none. */
const SCP_LIKE = /^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9._~/+-]+$/;

/**
 * A remote's URL without user, password, query and fragment; undefined for anything but a plain network
 * address: a path says how this disk is laid out, and `ext::` runs a program.
 */
export function publicUrl(url: string): string | undefined {
  if (url.includes("::") || CONTROL.test(url)) return undefined;
  if (!url.includes("://")) return SCP_LIKE.test(url) ? url : undefined;
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return undefined;
  }
  switch (parsed.protocol) {
    case "https:":
    case "http:":
    case "git:":
      return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
    case "ssh:": {
      const user = /^[A-Za-z0-9._-]+$/.test(parsed.username) ? `${parsed.username}@` : "";
      return `ssh://${user}${parsed.host}${parsed.pathname}`;
    }
    default:
      return undefined;
  }
}
