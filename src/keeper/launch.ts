/**
 * From a plan to a bottle that is ready for its agent: each thing acquired in the order of the design, each
 * pushed on the scope at once, so that whatever fails half-way leaves nothing behind.
 */
import { mkdir, readFile, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type AuditLog, openLog } from "../audit/log.ts";
import { backendNamed } from "../backends/registry.ts";
import { type KeptSidecar, keepSidecar, type SidecarNotice } from "../bundle/bundle.ts";
import type { CertificateAuthority } from "../bundle/certificate-authority.ts";
import { egressConfig, egressPolicy, type Secrets } from "../bundle/egress-settings.ts";
import type { Backend, Guest, Link, Prepared, Progress } from "../contract/backend.ts";
import { GUEST } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { newBottleId } from "../lib/names.ts";
import { cacheOf, homeOf, makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { providerNamed } from "../providers/registry.ts";
import { caEnvironment } from "../provision/ca-environment.ts";
import { provision } from "../provision/provision.ts";
import { proxyEnvironment } from "../provision/proxy-environment.ts";
import type { BaseSnapshot } from "../provision/workspace/snapshot.ts";
import {
  type BottlePaths,
  type BottleRecord,
  bottlePaths,
  newToken,
  readRecord,
  writeRecord,
} from "./bottle-record.ts";
import { verifyIsolation } from "./verification.ts";

/** Room for the state of a bottle and a small workspace; less means that something will be half written. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;
/** A clash of five random characters is one in sixty million; twenty in a row is a bug. */
const ID_ATTEMPTS = 20;

export interface LaunchRequest {
  readonly plan: BottlePlan;
  /** Continue this bottle in its state directory, instead of a new one. */
  readonly resume: string | undefined;
  /** Values by name, resolved from the operator's environment. Secret. */
  readonly env: Readonly<Record<string, string>>;
  /** Values by token name. Secret, and for sidecars only. */
  readonly credentials: Secrets;
}

export interface LaunchedBottle {
  readonly id: string;
  readonly paths: BottlePaths;
  readonly record: BottleRecord;
  readonly guest: Guest;
  readonly authority: CertificateAuthority;
  readonly sidecars: readonly KeptSidecar[];
  readonly log: AuditLog;
  readonly base: BaseSnapshot;
  /** Guest path in which the agent starts. */
  readonly workdir: string;
}

export interface LaunchHooks {
  readonly progress: Progress;
  /** The id and its state directory exist. */
  readonly reserved: (id: string, paths: BottlePaths) => void;
  /** The log could not be written; nothing may be decided any more. */
  readonly logFailed: (error: unknown) => void;
}

/** @throws UserError or Error; the caller closes the scope, whatever happened. */
export async function launchBottle(
  request: LaunchRequest,
  hooks: LaunchHooks,
  scope: Scope,
): Promise<LaunchedBottle> {
  const { plan } = request;
  const backend = backendNamed(plan.backend);
  const prepared = await prepare(backend, plan, hooks.progress);

  const { id, paths, log, earlier } = await reserveState(request, scope);
  hooks.reserved(id, paths);
  await log.append("bottle.launching", {
    agent: plan.agent.name,
    source: plan.agent.source,
    bottle: plan.bottle.name,
    backend: plan.backend,
    hosts: plan.routes.map(({ host }) => host),
    credentials: plan.credentials.map(({ tokenRef, holder, hosts }) => ({ tokenRef, holder, hosts })),
    ...(plan.agent.contentHash !== undefined && { contentHash: plan.agent.contentHash }),
    ...(earlier !== undefined && { resumed: true }),
  });

  const authorityComing = mint(id);
  const onNotice = (notice: SidecarNotice): void => {
    recordNotice(log, "egress", notice).catch(hooks.logFailed);
  };
  const link = await backend.reserve(
    prepared,
    { id, plan, stateDir: paths.state, runtimeDir: paths.runtime, services: ["egress"] },
    scope,
  );
  const authority = await authorityComing;
  const [sidecar, guest] = await Promise.all([
    startEgress({ id, paths, link, authority, request, onNotice }, scope),
    backend.boot(prepared, link, { plan, env: guestEnvironment(request, link) }, scope),
  ]);
  await verify(guest, link, log);

  const base = await provision(guest, plan, {
    certificate: authority.certificate,
    stateDir: paths.state,
    resumedFrom: earlier?.base as BaseSnapshot | undefined,
    progress: hooks.progress,
  });
  const record: BottleRecord = { version: 1, id, startedAt: new Date().toISOString(), plan, base };
  await writeRecord(paths, record);
  await log.append("bottle.ready", { fingerprint: authority.fingerprint });
  return { id, paths, record, guest, authority, sidecars: [sidecar], log, base, workdir: base.cwd };
}

/** Its library takes longer to load than the guest's namespaces take to make: both at once. */
function mint(id: string): Promise<CertificateAuthority> {
  const coming = import("../bundle/certificate-authority.ts").then(({ mintAuthority }) => mintAuthority(id));
  coming.catch(() => {});
  return coming;
}

async function prepare(backend: Backend, plan: BottlePlan, progress: Progress): Promise<Prepared> {
  const tools = await providerNamed(plan.provider.name).install(cacheOf(), progress);
  return backend.prepare({ plan, tools }, progress);
}

/** Step 1: the id, its directories, its lock and its log. Refuses where the rest could not be written. */
async function reserveState(
  request: LaunchRequest,
  scope: Scope,
): Promise<{ id: string; paths: BottlePaths; log: AuditLog; earlier: BottleRecord | undefined }> {
  const home = homeOf();
  await makePrivateDir(home.state);
  await makePrivateDir(home.audit);
  await refuseFullDisk(home.root);
  const earlier = request.resume === undefined ? undefined : await readRecord(bottlePaths(request.resume));
  const id = request.resume ?? (await newStateDir(request.plan.label ?? request.plan.agent.name));
  const paths = bottlePaths(id);
  if (earlier === undefined) {
    // Until the bottle is ready there is nothing in it that anybody could miss.
    scope.defer("new state directory", async () => {
      if (!(await isRecorded(paths))) await removeTree(paths.state);
    });
  }
  const lock = await acquireLock(paths.lock);
  scope.defer("bottle lock", () => lock.release());
  await mkdir(paths.runtime, { recursive: true, mode: 0o700 });
  scope.defer("runtime directory", () => removeTree(paths.runtime));
  await newToken(paths);
  scope.defer("token", () => rm(paths.token, { force: true }));
  const log = await openLog({ home, bottle: id });
  scope.defer("log", () => log.close());
  return { id, paths, log, earlier };
}

async function isRecorded(paths: BottlePaths): Promise<boolean> {
  return readRecord(paths).then(
    () => true,
    () => false,
  );
}

/** mkdir is atomic: of two starts at once, each gets a directory of its own. */
async function newStateDir(nameOrLabel: string): Promise<string> {
  for (let attempt = 0; attempt < ID_ATTEMPTS; attempt++) {
    const id = newBottleId(nameOrLabel);
    try {
      await mkdir(join(homeOf().state, id), { mode: 0o700 });
      return id;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
  }
  throw new Error("no free bottle id");
}

async function refuseFullDisk(root: string): Promise<void> {
  const { bavail, bsize } = await statfs(root);
  const free = bavail * bsize;
  if (free >= MIN_FREE_BYTES) return;
  throw new UserError(
    `${root} has ${Math.floor(free / 1024 / 1024)} MiB free; a bottle needs at least ${MIN_FREE_BYTES / 1024 / 1024}`,
    { hint: "free some space, or set BOT_BOTTLE_HOME to a directory on another disk" },
  );
}

/** What every process in the guest finds in its environment. No credential is among it (I2). */
function guestEnvironment(request: LaunchRequest, link: Link): Readonly<Record<string, string>> {
  const egress = link.endpoints.egress;
  if (egress === undefined) throw new Error("the link has no egress");
  return {
    ...proxyEnvironment(egress.guestUrl),
    ...caEnvironment(),
    ...request.plan.provider.env,
    ...request.env,
    BOTTLE: "1",
    BOTTLE_WORKSPACE: GUEST.workspace,
  };
}

async function startEgress(
  parts: {
    readonly id: string;
    readonly paths: BottlePaths;
    readonly link: Link;
    readonly authority: CertificateAuthority;
    readonly request: LaunchRequest;
    readonly onNotice: (notice: SidecarNotice) => void;
  },
  scope: Scope,
): Promise<KeptSidecar> {
  const { id, paths, link, authority, request } = parts;
  const endpoint = link.endpoints.egress;
  if (endpoint === undefined) throw new Error("the link has no egress");
  const { plan } = request;
  const upstreamCa = await Promise.all(plan.upstreamCa.map((path) => readFile(path, "utf8")));
  const policy = egressPolicy(plan.routes, upstreamCa, request.credentials);
  const rootDir = join(paths.state, "egress-root");
  await removeTree(rootDir);
  scope.defer("egress root", () => removeTree(rootDir));
  return keepSidecar(
    {
      name: "egress",
      id,
      rootDir,
      confined: true,
      endpoint,
      config: () => egressConfig({ id, authority, endpoint, bearer: undefined, policy }),
      onNotice: parts.onNotice,
    },
    scope,
  );
}

async function recordNotice(log: AuditLog, name: string, notice: SidecarNotice): Promise<void> {
  switch (notice.kind) {
    case "message": {
      const { message } = notice;
      if (message.type === "event") await log.append(message.event, message.data);
      else if (message.type === "log")
        await log.append(`${name}.log`, { level: message.level, text: message.text });
      return;
    }
    case "died":
      await log.append(`${name}.died`, { reason: notice.reason, restartInMs: notice.restartInMs ?? null });
      return;
    case "restarted":
      await log.append(`${name}.restarted`, {});
      return;
    case "failed-restart":
      await log.append(`${name}.failed-restart`, { reason: notice.reason });
      return;
  }
}

async function verify(guest: Guest, link: Link, log: AuditLog): Promise<void> {
  const { results, surprises } = await verifyIsolation(guest, link);
  await log.append("bottle.verified", {
    isolated: surprises.length === 0,
    results: results.map(({ host, port, transport, outcome }) => `${transport} ${host}:${port} ${outcome}`),
  });
  if (surprises.length === 0) return;
  throw new UserError(`the guest is not isolated, so no agent was started:\n  ${surprises.join("\n  ")}`, {
    hint: "bottle doctor",
    exitCode: 1,
  });
}
