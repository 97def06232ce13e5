/**
 * From a plan to a bottle that is ready for its agent: each thing acquired in the order of the design, each
 * pushed on the scope at once, so that whatever fails half-way leaves nothing behind.
 */
import type { AuditLog } from "../audit/log.ts";
import { backendNamed, placementOf } from "../backends/registry.ts";
import type { KeptSidecar } from "../bundle/bundle.ts";
import type { CertificateAuthority } from "../bundle/certificate-authority.ts";
import { isSecret, type Secrets } from "../bundle/egress-settings.ts";
import { type HostPlaces, hostPlaces } from "../bundle/host-place.ts";
import type { Backend, Guest, Link, Prepared, Progress } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";
import { cacheOf } from "../lib/paths.ts";
import type { Scope } from "../lib/scope.ts";
import { describeUserConfig } from "../plan/preflight.ts";
import { describeRepo } from "../plan/preflight-repo.ts";
import { providerNamed } from "../providers/registry.ts";
import { mintDecoy } from "../provision/decoy.ts";
import { provision } from "../provision/provision.ts";
import type { BaseSnapshot } from "../provision/workspace/snapshot.ts";
import { type BottlePaths, type BottleRecord, writeRecord } from "./bottle-record.ts";
import { findingsKeyOf } from "./findings-key.ts";
import { guestEnvironment } from "./guest-environment.ts";
import type { Inbox } from "./inbox.ts";
import { planSidecars, startSidecars } from "./launch-sidecars.ts";
import { endpointOf } from "./link-endpoint.ts";
import { openInbox } from "./open-inbox.ts";
import { placePipelock } from "./pipelock.ts";
import { putInto } from "./put-into.ts";
import { reserveBottle } from "./reservation.ts";
import { createStandstill, refresh, type Standstill } from "./standstill.ts";
import { verifyIsolation } from "./verification.ts";

export interface LaunchRequest {
  readonly plan: BottlePlan;
  /** Continue this bottle in its state directory, instead of a new one. */
  readonly resume: string | undefined;
  /** What the operator gave it for this life besides: names, for the log. */
  readonly with?: readonly string[];
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
  readonly inbox: Inbox;
  readonly standstill: Standstill;
  /** Guest path in which the agent starts. */
  readonly workdir: string;
  /** Nothing of it is worth keeping: its state directory goes with the scope. */
  discard(): void;
}

export interface LaunchHooks {
  readonly progress: Progress;
  /** The id and its state directory exist. */
  readonly reserved: (id: string) => void;
  /** The log could not be written: nothing is let through any more, and the bottle must end. */
  readonly logFailed: (error: unknown) => void;
}

/**
 * @param signal gives the launch up. The step that runs is brought to its end or broken off, none follows, and
 *   this rejects: only then is everything on the scope that has to be undone.
 * @throws UserError or Error; the caller closes the scope, whatever happened.
 */
export async function launchBottle(
  request: LaunchRequest,
  hooks: LaunchHooks,
  scope: Scope,
  signal: AbortSignal,
): Promise<LaunchedBottle> {
  const { plan } = request;
  const backend = await backendNamed(plan.backend);
  const places: HostPlaces =
    (await placementOf(backend, plan.bundle)) === "container" ? "container" : await hostPlaces();
  const contained = places === "container";
  const pipelockAt = plan.pipelock === true ? await placePipelock(contained) : undefined;
  const prepared = await prepare(backend, plan, hooks.progress, signal);
  signal.throwIfAborted();

  const running: KeptSidecar[] = [];
  const onFailure = (error: unknown): void => {
    // I8: what they have begun ends too. Nothing new leaves, because they wait for what is recorded.
    for (const sidecar of running) sidecar.stop().catch(() => {});
    hooks.logFailed(error);
  };
  let onLack = onFailure;
  const nameOrLabel = plan.label ?? plan.agent.name;
  const reservation = await reserveBottle(
    {
      ...{ nameOrLabel, resume: request.resume },
      logTrouble: { onFailure, onLack: (lack) => onLack(lack) },
    },
    scope,
  );
  const { id, paths, log, earlier } = reservation;
  hooks.reserved(id);
  await log.append("bottle.launching", {
    agent: plan.agent.name,
    source: plan.agent.source,
    bottle: plan.bottle.name,
    backend: plan.backend,
    hosts: plan.routes.map(({ host }) => host),
    credentials: plan.credentials.map(({ tokenRef, holder, hosts }) => ({ tokenRef, holder, hosts })),
    // With its rules: what the gate was told to hold to, for whoever reads the log later.
    ...(plan.repos !== undefined && { repos: plan.repos.map((repo) => describeRepo(repo, () => true)) }),
    ...(plan.userConfig !== undefined && { userConfig: describeUserConfig(plan.userConfig) }),
    ...(plan.agent.contentHash !== undefined && { contentHash: plan.agent.contentHash }),
    ...(earlier !== undefined && { resumed: true }),
    ...(request.with !== undefined && request.with.length > 0 && { with: request.with }),
  });
  signal.throwIfAborted();

  const decoy = mintDecoy();
  let bootedGuest: Promise<Guest> | undefined;
  let markVerified = (): void => {};
  const verified = new Promise<void>((resolve) => {
    markVerified = resolve;
  });
  const findingsKey = await findingsKeyOf(paths);
  const secrets = secretNames(plan);
  const standstill: Standstill = createStandstill({
    ...{ id, log, sidecars: running, failed: onFailure },
    isFrozen: () => inbox.isFrozen,
    guest: () => bootedGuest,
    tell: (lack) =>
      inbox.changed(lack === undefined ? "bottle.has-room" : "bottle.out-of-room", { reason: lack ?? null }),
  });
  onLack = standstill.lacks;
  const inbox: Inbox = await openInbox(
    {
      ...{ id, plan, log, secrets, resumed: earlier !== undefined },
      apply: () => standstill.apply(),
      lack: () => standstill.lack?.message,
      tellAgent: () => refresh(running, (name) => name === "supervise"),
    },
    scope,
  );
  const planned = planSidecars(id, plan, pipelockAt);
  // The link, the sidecars and the guest all at once: each waits for what it needs of the others.
  const linking = backend.reserve(
    prepared,
    {
      ...{ id, plan, stateDir: paths.state, runtimeDir: paths.runtime, services: planned.services },
      keepsDisk: () => reservation.keepsDisk(),
      sidecarHome: planned.home,
    },
    scope,
  );
  const { minting, starting } = startSidecars(
    planned,
    {
      ...{ request, reservation, inbox, places, decoy, findingsKey, secrets, linking, verified },
      running: (sidecar) => running.push(sidecar),
    },
    scope,
  );
  const booting = linking.then((link) => {
    signal.throwIfAborted();
    const env = guestEnvironment(request, link, planned.egress.bearer);
    return backend.boot(prepared, link, { plan, env, progress: hooks.progress }, scope);
  });
  bootedGuest = booting;
  // One that fails must not leave another at work on what is being undone.
  await Promise.allSettled([linking, minting, ...starting, booting]);
  const link = await linking;
  const authority = await minting;
  const sidecars = await Promise.all(starting);
  const guest = await booting;
  signal.throwIfAborted();

  await verify(guest, link, log);
  markVerified();
  await reservation.attempt(plan);
  const base = await provision(endingWith(signal, guest), plan, {
    certificate: authority.certificate,
    ...(planned.gate !== undefined && {
      gate: { ...planned.gate, url: endpointOf(link, "git-gate").guestUrl },
    }),
    ...(planned.supervise !== undefined && {
      supervise: { ...planned.supervise, url: `${endpointOf(link, "supervise").guestUrl}/mcp` },
    }),
    decoy,
    stateDir: paths.state,
    resumedFrom: earlier?.base as BaseSnapshot | undefined,
    earlierPaths: earlier === undefined ? [] : putInto(earlier),
    progress: hooks.progress,
  });
  // From here on it may be resumed, also after a machine that ended without a word.
  await guest.flush?.();
  signal.throwIfAborted();
  const record: BottleRecord = { version: 1, id, startedAt: new Date().toISOString(), plan, base };
  await writeRecord(paths, record);
  await log.append("bottle.ready", { fingerprint: authority.fingerprint });
  signal.throwIfAborted();
  reservation.decide("kept");
  standstill.begin();
  return {
    ...{ id, paths, record, guest, authority, log, base, inbox, standstill },
    sidecars,
    workdir: base.cwd,
    discard: () => reservation.decide("removed"),
  };
}

/** A guest whose programs end when the launch is given up: a large workspace is minutes of work. */
function endingWith(signal: AbortSignal, guest: Guest): Guest {
  return {
    ...guest,
    exec: (argv, options = {}) =>
      guest.exec(argv, {
        ...options,
        signal: options.signal === undefined ? signal : AbortSignal.any([signal, options.signal]),
      }),
  };
}

/** Fills caches: nothing of it is the bottle's. */
async function prepare(
  backend: Backend,
  plan: BottlePlan,
  progress: Progress,
  signal: AbortSignal,
): Promise<Prepared> {
  const tools = await providerNamed(plan.provider.name).install(cacheOf(), progress, signal);
  return backend.prepare({ plan, tools }, progress, signal);
}

/** Of what no exception is ever made for, by the names under which findings name it. */
function secretNames(plan: BottlePlan): readonly string[] {
  return [
    ...plan.credentials.map(({ tokenRef }) => tokenRef),
    ...plan.env.filter(isSecret).map(({ name }) => name),
    "decoy",
  ];
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
