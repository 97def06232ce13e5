/**
 * The repositories of a merged bottle, each checked as a whole: that its key is for its kind of URL, that what it
 * names on the host is there and nobody else's to read, and that an ssh upstream is pinned. There is no trust on
 * first use: whoever answers first would be given the agent's commits, and would say what the agent builds on.
 */
import type { Stats } from "node:fs";
import { statSync } from "node:fs";
import type { GitLimits } from "../contract/git-gate.ts";
import type { PlannedRepo, PlannedSshKey, PlannedUpstream } from "../contract/repository.ts";
import { codeOf } from "../lib/errors.ts";
import { accept, type Parsed, reject } from "../lib/parsed.ts";
import type { Bottle } from "./bottle-schema.ts";
import type { GitUrl } from "./git-url.ts";
import { expandHome } from "./host-paths.ts";
import { suggestedHostKey } from "./known-hosts.ts";
import type { Path } from "./problem.ts";
import type { RepoKey, Repository } from "./repository-schema.ts";

export interface RepositoryFault {
  readonly path: Path;
  readonly message: string;
}

/** What forges call whoever presents a token, where they take any name. */
const TOKEN_USER = "git";
const SSH_PORT = 22;
const OTHERS_MAY_READ = 0o077;

/** Looks at the disk; opens nothing but the operator's `known_hosts`. */
export function repositoriesOf(
  bottle: Bottle,
  userHome: string,
): { readonly repos: readonly PlannedRepo[]; readonly faults: readonly RepositoryFault[] } {
  const faults: RepositoryFault[] = [];
  const repos = Object.entries(bottle["git-gate"]?.repos ?? {}).flatMap(([name, repository]) => {
    const at = ["git-gate", "repos", name];
    const say = (message: string, ...keys: Path): void =>
      void faults.push({ path: [...at, ...keys], message });
    const upstream = upstreamOf(repository, userHome, say);
    return upstream === undefined ? [] : [{ name, upstream, ...policyOf(repository) }];
  });
  return { repos, faults: [...faults, ...sharedUpstreams(repos)] };
}

/** The guest's git knows a repository by its URL: two names for one would leave to chance whose rules count. */
function sharedUpstreams(repos: readonly PlannedRepo[]): RepositoryFault[] {
  const names = new Map<string, string>();
  return repos.flatMap(({ name, upstream }) => {
    const place = placeOf(upstream);
    const earlier = names.get(place);
    names.set(place, earlier ?? name);
    if (earlier === undefined) return [];
    return [
      {
        path: ["git-gate", "repos", name, "url"],
        message: `is the same repository as ${earlier}: keep one of them`,
      },
    ];
  });
}

/** By whatever way it is reached. */
function placeOf(upstream: PlannedUpstream): string {
  const path = upstream.path.replace(/\/+$/, "").replace(/\.git$/, "");
  return upstream.kind === "local" ? path : `${upstream.host} ${path.replace(/^\/+/, "")}`;
}

type Say = (message: string, ...keys: Path) => void;

function upstreamOf(repository: Repository, userHome: string, say: Say): PlannedUpstream | undefined {
  const { url, key } = repository;
  if (url === undefined) {
    say("needs its url: the repository that is fetched from and pushed to");
    return undefined;
  }
  const authorities = (repository.upstream_ca ?? []).map((path) => expandHome(path, userHome));
  authorities.forEach((path, i) => {
    const fault = faultOfFile(path);
    if (fault !== undefined) say(fault, "upstream_ca", i);
  });
  switch (url.kind) {
    case "ssh":
      return sshUpstream(repository, url, { authorities, userHome, say });
    case "https": {
      if (repository.host_key !== undefined) {
        say("is for ssh: an https upstream shows a certificate (upstream_ca says whose)", "host_key");
      }
      if (key !== undefined && key.kind !== "token") {
        say("is for ssh: an https upstream takes key: {provider: token, token_ref: VARIABLE}", "key");
        return undefined;
      }
      const token = key && { username: key.username ?? TOKEN_USER, tokenRef: key.tokenRef };
      const { host, port, path } = url;
      return { kind: "https", host, port, path, authorities, ...(token !== undefined && { token }) };
    }
    case "local": {
      for (const name of ["key", "host_key", "upstream_ca"] as const) {
        if (repository[name] !== undefined) say("is not for a repository on this host", name);
      }
      const path = expandHome(url.path, userHome);
      const fault = faultOfBareRepository(path);
      if (fault !== undefined) say(fault, "url");
      return { kind: "local", path };
    }
  }
}

function sshUpstream(
  repository: Repository,
  url: Extract<GitUrl, { kind: "ssh" }>,
  {
    authorities,
    userHome,
    say,
  }: { readonly authorities: readonly string[]; readonly userHome: string; readonly say: Say },
): PlannedUpstream | undefined {
  const { user, host, port, path } = url;
  const pinned = repository.host_key;
  const hostKeys = pinned === undefined ? [] : typeof pinned === "string" ? [pinned] : pinned;
  if (hostKeys.length === 0) say(missingPin(userHome, host, port));
  if (repository.key === undefined) {
    say("needs a key: agent for your ssh-agent, or the path of a private key such as ~/.ssh/id_ed25519");
    return undefined;
  }
  const key = sshKey(repository.key, url, authorities, userHome);
  if (key.ok) return { kind: "ssh", user, host, port, path, key: key.value, hostKeys };
  say(key.reason, "key");
  return undefined;
}

function missingPin(userHome: string, host: string, port: number): string {
  const what =
    "needs a host_key: without it nothing is fetched or pushed, because whoever answers could be anybody";
  const known = suggestedHostKey(userHome, host, port);
  if (known !== undefined) return `${what}; your known_hosts has the line to add: host_key: ${known}`;
  const scan = `ssh-keyscan ${port === SSH_PORT ? "" : `-p ${port} `}${host}`;
  return `${what}; compare what the host's owner publishes with \`${scan}\``;
}

function sshKey(
  key: RepoKey,
  url: Extract<GitUrl, { kind: "ssh" }>,
  authorities: readonly string[],
  userHome: string,
): Parsed<PlannedSshKey> {
  switch (key.kind) {
    case "token":
      return reject("is for https: an ssh upstream takes agent, the path of a private key, or a deploy key");
    case "agent":
      return accept({ kind: "agent", ...(key.publicKey !== undefined && { publicKey: key.publicKey }) });
    case "file": {
      const path = expandHome(key.path, userHome);
      const fault = faultOfKey(path);
      return fault === undefined ? accept({ kind: "file", path }) : reject(fault);
    }
    case "gitea": {
      const repository = ownerAndName(url.path);
      if (repository === undefined)
        return reject("needs a url whose path is owner/name, as the forge has it");
      const { tokenRef, server = `https://${url.host.includes(":") ? `[${url.host}]` : url.host}` } = key;
      return accept({ kind: "deploy", forge: "gitea", server, repository, tokenRef, authorities });
    }
  }
}

/** The forge's own name for what ssh calls a path. */
function ownerAndName(path: string): string | undefined {
  const parts = path
    .replace(/^\/+|\/+$/g, "")
    .replace(/\.git$/, "")
    .split("/");
  return parts.length === 2 ? parts.join("/") : undefined;
}

function policyOf(repository: Repository): Omit<PlannedRepo, "name" | "upstream"> {
  const { limits = {}, refs, paths = {}, exceptions } = repository;
  const planned: Partial<GitLimits> = {
    ...(limits.push !== undefined && { packBytes: limits.push }),
    ...(limits.file !== undefined && { fileBytes: limits.file }),
    ...(limits.objects !== undefined && { objects: limits.objects }),
    ...(limits.files !== undefined && { files: limits.files }),
  };
  return {
    ...(refs !== undefined && { refs }),
    paths: { only: paths.only ?? [], unprotect: paths.unprotect ?? [] },
    limits: planned,
    review: repository.review ?? false,
    ...(exceptions !== undefined && { exceptions }),
  };
}

function faultOfKey(path: string): string | undefined {
  const stat = statOf(path);
  if (typeof stat === "string") return stat;
  if (!stat.isFile()) return "is not a file";
  if ((stat.mode & OTHERS_MAY_READ) === 0) return undefined;
  return `can be read by others (mode ${(stat.mode & 0o777).toString(8)}): run chmod 600 ${path}`;
}

function faultOfFile(path: string): string | undefined {
  const stat = statOf(path);
  return typeof stat === "string" ? stat : stat.isFile() ? undefined : "is not a file";
}

/** A working tree's own repository is not one to push to: its files would not follow. */
function faultOfBareRepository(path: string): string | undefined {
  const stat = statOf(path);
  if (typeof stat === "string") return stat;
  const isBare =
    stat.isDirectory() &&
    typeof statOf(`${path}/objects`) !== "string" &&
    typeof statOf(`${path}/HEAD`) !== "string";
  return isBare ? undefined : "is not a bare repository: make one with git clone --bare";
}

/** Or what is wrong. */
function statOf(path: string): Stats | string {
  try {
    return statSync(path);
  } catch (error) {
    const code = codeOf(error);
    return code === "ENOENT" ? "does not exist" : `cannot be reached: ${code ?? String(error)}`;
  }
}
