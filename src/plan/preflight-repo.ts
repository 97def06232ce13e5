/** A repository in the preflight: what may be pushed where, by what proof, and how far the other end is known. */
import { DEFAULT_GIT_LIMITS, type GitLimits } from "../contract/git-gate.ts";
import {
  BOTTLE_ID,
  type PlannedRef,
  type PlannedRepo,
  type PlannedUpstream,
} from "../contract/repository.ts";
import { unreachable } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { upstreamUrl } from "./upstream-url.ts";

export interface PreflightRepo {
  readonly name: string;
  readonly url: string;
  /** How the gate proves itself, by name. */
  readonly proof: string;
  /** How the upstream proves itself; absent for a repository on this host. */
  readonly pinned?: string;
  readonly mayPush: readonly string[];
  /** Empty: everywhere. */
  readonly onlyPaths: readonly string[];
  readonly unprotected: readonly string[];
  /** What passes to the letter although it would be refused. */
  readonly excepted: readonly string[];
  /** Those that the manifest sets. */
  readonly limits: readonly string[];
  readonly review: boolean;
}

/** What a bottle has to itself in each repository whose manifest lists no refs. */
export const OWN_REFS: PlannedRef = {
  pattern: `refs/heads/bottle/${BOTTLE_ID}/*`,
  force: false,
  delete: false,
};

const LENGTH = 1_000;

/** @param availableEnv whether the operator's environment has a variable. */
export function describeRepo(repo: PlannedRepo, availableEnv: (name: string) => boolean): PreflightRepo {
  const { upstream } = repo;
  const pinned = pinOf(upstream);
  return {
    name: printable(repo.name),
    url: printable(upstreamUrl(upstream), LENGTH),
    proof: printable(proofOf(upstream), LENGTH) + (lacksAgent(upstream, availableEnv) ? " - MISSING" : ""),
    ...(pinned !== undefined && { pinned: printable(pinned, LENGTH) }),
    mayPush: (repo.refs ?? [OWN_REFS]).map((ref) => printable(refText(ref))),
    onlyPaths: repo.paths.only.map((path) => printable(path)),
    unprotected: repo.paths.unprotect.map((path) => printable(path)),
    excepted: (repo.exceptions ?? []).flatMap(({ code, subjects }) =>
      subjects.map((subject) => printable(`${code} ${subject}`)),
    ),
    limits: limitTexts(repo.limits),
    review: repo.review,
  };
}

/** Tokens are told of where credentials are; an agent is no token. */
function lacksAgent(upstream: PlannedUpstream, availableEnv: (name: string) => boolean): boolean {
  return upstream.kind === "ssh" && upstream.key.kind === "agent" && !availableEnv("SSH_AUTH_SOCK");
}

function proofOf(upstream: PlannedUpstream): string {
  switch (upstream.kind) {
    case "local":
      return "on this host";
    case "https":
      return upstream.token === undefined
        ? "without a credential"
        : `with the credential ${upstream.token.tokenRef}`;
    case "ssh": {
      const { key } = upstream;
      switch (key.kind) {
        case "file":
          return `with the key ${key.path}`;
        case "agent":
          return `with ${key.publicKey === undefined ? "any key" : `the key ${key.publicKey.slice(0, 40)}…`} of your ssh-agent`;
        case "deploy":
          return `with a deploy key for ${key.repository} that is made at launch, and removed at the end, at ${key.server}`;
        default:
          return unreachable(key);
      }
    }
    default:
      return unreachable(upstream);
  }
}

function pinOf(upstream: PlannedUpstream): string | undefined {
  switch (upstream.kind) {
    case "ssh":
      return `host pinned to ${upstream.hostKeys.map((key) => key.split(" ")[0]).join(" and ")}`;
    case "https":
      return upstream.authorities.length === 0
        ? "any certificate that this host trusts"
        : `certificate from ${upstream.authorities.join(" or ")}`;
    case "local":
      return undefined;
    default:
      return unreachable(upstream);
  }
}

function refText(ref: PlannedRef): string {
  const more = [...(ref.force ? ["force"] : []), ...(ref.delete ? ["delete"] : [])];
  const pattern = ref.pattern.replaceAll(BOTTLE_ID, "<id>");
  return more.length === 0 ? pattern : `${pattern} (also ${more.join(" and ")})`;
}

const LIMIT_NAMES: Readonly<Record<keyof GitLimits, (value: number) => string>> = {
  packBytes: (value) => `${value} bytes a push`,
  fileBytes: (value) => `${value} bytes a file`,
  objects: (value) => `${value} objects a push`,
  files: (value) => `${value} paths a push`,
};

function limitTexts(limits: PlannedRepo["limits"]): readonly string[] {
  const names = Object.keys(DEFAULT_GIT_LIMITS) as readonly (keyof GitLimits)[];
  return names.flatMap((name) => {
    const value = limits[name];
    return value === undefined ? [] : [LIMIT_NAMES[name](value)];
  });
}
