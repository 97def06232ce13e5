/**
 * What git-gate is told: the plan's repositories, each with its own proof and no other (I2). Where a manifest is silent
 * the defaults are written out, so that what the gate enforces is what the preflight showed.
 */
import type { Endpoint } from "../contract/backend.ts";
import {
  DEFAULT_GIT_LIMITS,
  defaultRefRules,
  type GitGateConfig,
  type GitGatePolicy,
} from "../contract/git-gate.ts";
import type { UpstreamProxyPlace } from "../contract/policy.ts";
import { BOTTLE_ID, type PlannedRepo, type PlannedUpstream } from "../contract/repository.ts";
import { spellingsOf, upstreamUrl } from "../plan/upstream-url.ts";
import type { Secrets } from "./egress-settings.ts";
import { mainPlace } from "./listen-place.ts";

/** Where the gate finds things. In a jail these are not the host's own paths. */
export interface GatePlaces {
  readonly stateDir: string;
  readonly runtimeDir: string;
  /** The ssh-agent's socket. */
  readonly agentSocket: string;
  /** A repository of this host's. */
  readonly local: (repo: PlannedRepo) => string;
}

/** Secret, most of it. */
export interface GateMaterial {
  /** By the name the operator's environment has them under. */
  readonly tokens: Secrets;
  /** Private keys by the repository they are for. */
  readonly keys: ReadonlyMap<string, string>;
  /** PEM texts by host path. */
  readonly authorities: ReadonlyMap<string, string>;
  readonly bearer: string;
  /** Through which https upstreams are reached. */
  readonly proxy?: UpstreamProxyPlace | undefined;
  /** Base64. */
  readonly fingerprintKey: string;
}

export function gatePolicy(
  id: string,
  repos: readonly PlannedRepo[],
  more: Pick<GitGatePolicy, "known" | "rules">,
): GitGatePolicy {
  return {
    repos: Object.fromEntries(repos.map((repo) => [repo.name, repoPolicy(id, repo)])),
    exceptions: [],
    ...more,
  };
}

function repoPolicy(id: string, repo: PlannedRepo): GitGatePolicy["repos"][string] {
  const listed = repo.refs?.map((ref) => ({ ...ref, pattern: ref.pattern.replaceAll(BOTTLE_ID, id) }));
  return {
    refs: listed ?? defaultRefRules(id),
    paths: { only: [...repo.paths.only], lift: [...repo.paths.unprotect] },
    limits: { ...DEFAULT_GIT_LIMITS, ...repo.limits },
    review: repo.review,
  };
}

/** @throws Error when a secret of the plan's is not among the material: launch has asked for it before. */
export function gateConfig(request: {
  readonly id: string;
  readonly endpoint: Endpoint;
  readonly repos: readonly PlannedRepo[];
  readonly places: GatePlaces;
  readonly material: GateMaterial;
  readonly policy: GitGatePolicy;
}): GitGateConfig {
  const { id, places, material, policy } = request;
  return {
    bottle: id,
    listen: mainPlace(request.endpoint),
    bearer: material.bearer,
    stateDir: places.stateDir,
    runtimeDir: places.runtimeDir,
    repos: request.repos.map((repo) => ({
      name: repo.name,
      spellings:
        repo.upstream.kind === "local" ? [] : [upstreamUrl(repo.upstream), ...spellingsOf(repo.upstream).all],
      upstream: upstreamOf(repo, places, material),
    })),
    policy,
    fingerprintKey: material.fingerprintKey,
  };
}

type Upstream = GitGateConfig["repos"][number]["upstream"];

function upstreamOf(repo: PlannedRepo, places: GatePlaces, material: GateMaterial): Upstream {
  const { upstream } = repo;
  switch (upstream.kind) {
    case "ssh": {
      const { user, host, port, path } = upstream;
      const key = sshKeyOf(repo.name, upstream.key, places, material);
      return { kind: "ssh", user, host, port, path, key, hostKeys: [...upstream.hostKeys] };
    }
    case "https":
      return {
        kind: "https",
        url: upstreamUrl(upstream),
        ...(upstream.token !== undefined && {
          credential: {
            username: upstream.token.username,
            token: given(material.tokens[upstream.token.tokenRef], upstream.token.tokenRef),
          },
        }),
        ca: upstream.authorities.map((path) => given(material.authorities.get(path), path)),
        ...(material.proxy !== undefined && { proxy: proxyOf(material.proxy, material.tokens) }),
      };
    case "local":
      return { kind: "local", path: places.local(repo) };
  }
}

function proxyOf(
  { host, port, tls, tokenRef }: UpstreamProxyPlace,
  tokens: Secrets,
): NonNullable<Extract<Upstream, { kind: "https" }>["proxy"]> {
  if (tokenRef === undefined) return { host, port, tls };
  const pair = given(tokens[tokenRef], tokenRef);
  const colon = pair.indexOf(":");
  if (colon < 0) return { host, port, tls, credential: { username: pair, token: "" } };
  return { host, port, tls, credential: { username: pair.slice(0, colon), token: pair.slice(colon + 1) } };
}

function sshKeyOf(
  name: string,
  key: Extract<PlannedUpstream, { kind: "ssh" }>["key"],
  places: GatePlaces,
  material: GateMaterial,
): Extract<Upstream, { kind: "ssh" }>["key"] {
  if (key.kind !== "agent")
    return { kind: "private-key", text: given(material.keys.get(name), `the key for ${name}`) };
  return {
    kind: "agent",
    socket: places.agentSocket,
    ...(key.publicKey !== undefined && { publicKey: key.publicKey }),
  };
}

function given(value: string | undefined, name: string): string {
  if (value === undefined) throw new Error(`no value for ${name}`);
  return value;
}
