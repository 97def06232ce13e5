/**
 * What the keeper gets ready for git-gate, and answers it. The keys of a bottle's repositories are in three places: where
 * the operator has them, in this process's memory, and on the gate's stdin (I2).
 */
import { chownSync, existsSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { relayAgent } from "../bundle/agent-relay.ts";
import type { SidecarRequest } from "../bundle/bundle.ts";
import { isSecret, type Secrets } from "../bundle/egress-settings.ts";
import { type GateMaterial, type GatePlaces, gateConfig, gatePolicy } from "../bundle/git-gate-settings.ts";
import { type HostPlaces, placeAt } from "../bundle/host-place.ts";
import { readPrivateKey } from "../bundle/private-key.ts";
import { type Endpoint, GUEST, type SidecarHome } from "../contract/backend.ts";
import type { GitGatePolicy } from "../contract/git-gate.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { PlannedRepo } from "../contract/repository.ts";
import { MIN_KNOWN } from "../inspect/known-secret.ts";
import { hostUidOf, isRoot } from "../jail/host-uid.ts";
import type { Bind } from "../jail/mounts.ts";
import { UserError } from "../lib/errors.ts";
import { makePrivateDir } from "../lib/paths.ts";
import type { Pending } from "../lib/pending.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { recordNotice } from "./bottle-log.ts";
import { makeDeployKeys } from "./deploy-keys.ts";
import { countUses } from "./grant-uses.ts";
import { gateInForce } from "./in-force.ts";
import type { Inbox } from "./inbox.ts";
import type { Reservation } from "./reservation.ts";

/** Of the relay to the operator's ssh-agent, below the bottle's runtime folder. */
const AGENT_FOLDER = "ssh-agent";

/** In the gate's jail. */
const INSIDE = {
  state: "/gate/state",
  run: "/tmp/gate",
  agent: "/gate/agent",
  upstreams: "/gate/upstreams",
} as const;

const PLACES_INSIDE: GatePlaces = {
  stateDir: INSIDE.state,
  runtimeDir: INSIDE.run,
  agentSocket: `${INSIDE.agent}/sock`,
  local: ({ name }) => `${INSIDE.upstreams}/${name}.git`,
};

/** Where it sees what everybody sees. */
function placesOnHost(stateDir: string, runtimeDir: string): GatePlaces {
  return {
    stateDir,
    runtimeDir: join(runtimeDir, "gate"),
    agentSocket: join(runtimeDir, AGENT_FOLDER, "sock"),
    local: ({ name, upstream }) => {
      if (upstream.kind !== "local") throw new Error(`${name} is no folder of this host`);
      return upstream.path;
    },
  };
}

/** Its /tmp holds sockets, ssh's files and what git puts aside while it packs. */
const TMP_BYTES = 256 * 1024 * 1024;

export interface GateParts {
  readonly reservation: Reservation;
  readonly request: {
    readonly plan: BottlePlan;
    readonly env: Secrets;
    readonly credentials: Secrets;
  };
  readonly endpoint: Promise<Endpoint>;
  readonly inbox: Inbox;
  readonly at: HostPlaces;
  /** Told what a contained gate needs of the host. */
  readonly sidecarHome: Pending<SidecarHome>;
}

/**
 * Everything that must be there before git-gate starts.
 * @throws UserError naming the key, file or agent that is missing, or what the forge said.
 */
export async function gateRequest(
  gate: {
    readonly repos: readonly PlannedRepo[];
    readonly bearer: string;
    /** The bottle's decoy credential. */
    readonly decoy: string;
    /** Of the marks that its findings carry. */
    readonly findingsKey: Buffer;
  },
  { reservation, request, endpoint, inbox, at, sidecarHome }: GateParts,
  scope: Scope,
): Promise<SidecarRequest> {
  const { id, paths, log } = reservation;
  const { repos, bearer, decoy, findingsKey } = gate;
  endpoint.catch(() => {});
  refuseMissingFolders(repos);
  const uid = gateUid(id, repos);
  const [stateDir, rootDir] = [join(paths.state, "git-gate"), join(paths.state, "git-gate-root")];
  scope.defer("git-gate root", () => removeTree(rootDir));
  scope.defer("git-gate mirrors", () => removeTree(stateDir));
  await makePrivateDir(stateDir);
  if (isRoot()) chownSync(stateDir, uid, uid);

  // In a jail it is 1000, whoever it is to the host.
  const inside = at === "container" ? uid : GUEST.uid;
  const binds = await bindsOf({ repos, stateDir, runtimeDir: paths.runtime, uid, inside }, scope);
  sidecarHome.resolve({ uid, mounts: binds });
  const tokens = request.credentials;
  const [authorities, operators, made] = await Promise.all([
    readAuthorities(repos),
    readKeys(repos),
    makeDeployKeys(
      {
        ...{ id, repos, log, file: paths.deployKeys },
        token: (tokenRef) => tokens[tokenRef],
        left: () => reservation.decide("kept"),
      },
      scope,
    ),
  ]);
  const material: GateMaterial = {
    ...{ tokens, authorities, bearer, proxy: request.plan.upstreamProxy },
    keys: new Map([...operators, ...made.keys]),
    fingerprintKey: findingsKey.toString("base64"),
  };
  const places = at === "plain" ? placesOnHost(stateDir, paths.runtime) : PLACES_INSIDE;
  const planned = gatePolicy(id, repos, {
    known: knownSecrets(request, decoy),
    rules: request.plan.rules.map((rule) => ({ ...rule })),
  });
  const policy = (): GitGatePolicy => gateInForce(planned, inbox.state);
  return {
    name: "git-gate",
    id,
    place: placeAt(at, rootDir, { binds, startsPrograms: true, tmpBytes: TMP_BYTES, hostUid: uid }),
    endpoint,
    config: async (bound) => gateConfig({ id, endpoint: bound, repos, places, material, policy: policy() }),
    policy,
    onNotice: async (notice) => {
      await recordNotice(log, "git-gate", notice);
      await countUses(notice, inbox, request.plan);
    },
    onAsk: (data) => inbox.review(data),
  };
}

function refuseMissingFolders(repos: readonly PlannedRepo[]): void {
  for (const { name, upstream } of repos) {
    if (upstream.kind === "local" && !existsSync(upstream.path)) {
      throw new UserError(`${upstream.path} is gone: the repository behind ${name}`, {
        hint: "put it back, or take it out of the bottle's git-gate.repos",
      });
    }
  }
}

/**
 * Git must own a repository that it writes to. Only root has a choice of whom to be, and then the gate is whoever
 * owns the upstreams that are folders of this host.
 */
function gateUid(id: string, repos: readonly PlannedRepo[]): number {
  if (!isRoot()) return hostUidOf(id, "git-gate");
  const owners = new Map(
    repos.flatMap(({ name, upstream }) =>
      upstream.kind === "local" ? [[statSync(upstream.path).uid, name] as const] : [],
    ),
  );
  const [first, ...others] = owners;
  if (first === undefined) return hostUidOf(id, "git-gate");
  const [uid, name] = first;
  if (uid === 0) {
    throw new UserError(`the repository behind ${name} belongs to root, and git-gate does not run as root`, {
      hint: "give it to an ordinary user with chown -R, or run bottle as one",
    });
  }
  if (others.length === 0) return uid;
  throw new UserError(
    `the repositories behind ${[...owners.values()].join(" and ")} belong to different users, and git-gate is one`,
    { hint: "put them into different bottles" },
  );
}

async function bindsOf(
  parts: {
    readonly repos: readonly PlannedRepo[];
    readonly stateDir: string;
    readonly runtimeDir: string;
    readonly uid: number;
    /** Its uid where it runs. */
    readonly inside: number;
  },
  scope: Scope,
): Promise<readonly Bind[]> {
  const { repos, stateDir, runtimeDir, uid, inside } = parts;
  // ssh looks up who it is, and the host's own list does not have the jail's user.
  const passwd = join(runtimeDir, "git-gate.passwd");
  await writeFile(passwd, `node:x:${inside}:${inside}:git-gate:/nonexistent:/bin/sh\n`, { mode: 0o644 });
  const agentDir = join(runtimeDir, AGENT_FOLDER);
  const wantsAgent = repos.some(({ upstream }) => upstream.kind === "ssh" && upstream.key.kind === "agent");
  if (wantsAgent) await relayAgent({ agent: agentSocket(), path: join(agentDir, "sock"), uid }, scope);
  return [
    { from: stateDir, to: INSIDE.state, writable: true },
    { from: passwd, to: "/etc/passwd" },
    ...(wantsAgent ? [{ from: agentDir, to: INSIDE.agent }] : []),
    ...repos.flatMap(({ name, upstream }) =>
      upstream.kind === "local"
        ? [{ from: upstream.path, to: `${INSIDE.upstreams}/${name}.git`, writable: true }]
        : [],
    ),
  ];
}

function agentSocket(): string {
  const socket = process.env["SSH_AUTH_SOCK"];
  if (socket !== undefined && socket !== "") return socket;
  throw new UserError("SSH_AUTH_SOCK is not set: there is no ssh-agent to sign with", {
    hint: 'eval "$(ssh-agent)" && ssh-add, or name a key file in the bottle',
  });
}

async function readKeys(repos: readonly PlannedRepo[]): Promise<ReadonlyMap<string, string>> {
  const named = repos.flatMap(({ name, upstream }) =>
    upstream.kind === "ssh" && upstream.key.kind === "file" ? [[name, upstream.key.path] as const] : [],
  );
  return new Map(
    await Promise.all(named.map(async ([name, path]) => [name, await readPrivateKey(path)] as const)),
  );
}

async function readAuthorities(repos: readonly PlannedRepo[]): Promise<ReadonlyMap<string, string>> {
  const files = repos.flatMap(({ upstream }) => (upstream.kind === "https" ? upstream.authorities : []));
  return new Map(await Promise.all(files.map(async (path) => [path, await readFile(path, "utf8")] as const)));
}

/** What the agent was given as a secret, and what the gate itself holds. Of other sidecars' it is told nothing. */
function knownSecrets(
  { plan, env, credentials }: GateParts["request"],
  decoy: string,
): GitGatePolicy["known"] {
  const given = plan.env.filter(isSecret).map(({ name }) => [name, env[name]] as const);
  const held = plan.credentials.flatMap(({ tokenRef, holder }) =>
    holder === "git-gate" ? [[tokenRef, credentials[tokenRef]] as const] : [],
  );
  const known = [...given, ...held].flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, kind: "known" as const, value }],
  );
  return [...known, { name: "decoy", kind: "canary" as const, value: decoy }].filter(
    ({ value }) => Buffer.byteLength(value) >= MIN_KNOWN,
  );
}
