/** A launch's sidecars: which there are, who may speak to them, and their start, all of them at once. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type KeptSidecar, keepSidecar, type SidecarRequest } from "../bundle/bundle.ts";
import type { CertificateAuthority } from "../bundle/certificate-authority.ts";
import type { Secrets } from "../bundle/egress-settings.ts";
import type { HostPlaces } from "../bundle/host-place.ts";
import { keepSidecarOnFirstUse } from "../bundle/on-first-use.ts";
import type { Link, ServiceName, SidecarHome } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { hostUidOf } from "../jail/host-uid.ts";
import { type Pending, pending } from "../lib/pending.ts";
import type { Scope } from "../lib/scope.ts";
import { egressRequest } from "./egress.ts";
import { gateRequest } from "./git-gate.ts";
import { pipelockInForce } from "./in-force.ts";
import type { Inbox } from "./inbox.ts";
import { endpointIn } from "./link-endpoint.ts";
import { type PipelockPlace, pipelockMounts, pipelockRequest } from "./pipelock.ts";
import type { Reservation } from "./reservation.ts";
import { superviseRequest } from "./supervise.ts";

export interface PlannedSidecars {
  readonly services: readonly ServiceName[];
  /** For a link that others could dial too. Made before it is known whether this is one. */
  readonly egress: { readonly bearer: string };
  readonly gate: { readonly repos: NonNullable<BottlePlan["repos"]>; readonly bearer: string } | undefined;
  readonly supervise: { readonly bearer: string } | undefined;
  readonly pipelock: Omit<PipelockPlace, "authority"> | undefined;
  /** What the backend makes for them; settled with the gate's start. */
  readonly home: Promise<SidecarHome>;
  readonly gateHome: Pending<SidecarHome>;
}

export function planSidecars(
  id: string,
  plan: BottlePlan,
  pipelock: PlannedSidecars["pipelock"],
): PlannedSidecars {
  const gate = plan.repos === undefined ? undefined : { repos: plan.repos, bearer: newBearer() };
  const supervise = plan.supervise === undefined ? undefined : { bearer: newBearer() };
  const gateHome = pending<SidecarHome>();
  if (gate === undefined) gateHome.resolve({ uid: hostUidOf(id, "sidecars"), mounts: [] });
  const home = gateHome.promise.then((its) => ({
    ...its,
    mounts: [...its.mounts, ...pipelockMounts(pipelock)],
  }));
  // Not every backend asks for it, and a gate that cannot be settled is heard of elsewhere.
  home.catch(() => {});
  const services: readonly ServiceName[] = [
    "egress",
    ...(gate === undefined ? [] : (["git-gate"] as const)),
    ...(supervise === undefined ? [] : (["supervise"] as const)),
  ];
  return { services, egress: { bearer: newBearer() }, gate, supervise, pipelock, home, gateHome };
}

export interface StartParts {
  readonly request: { readonly plan: BottlePlan; readonly env: Secrets; readonly credentials: Secrets };
  readonly reservation: Reservation;
  readonly inbox: Inbox;
  readonly places: HostPlaces;
  readonly decoy: string;
  readonly findingsKey: Buffer;
  /** Names of what no exception is ever made for. */
  readonly secrets: readonly string[];
  readonly linking: Promise<Link>;
  /** Nobody is let in to supervise before. */
  readonly verified: Promise<void>;
  /** Called with each one as soon as it runs. */
  readonly running: (sidecar: KeptSidecar) => void;
}

export interface StartedSidecars {
  /** Egress's, which the guest is to trust. */
  readonly minting: Promise<CertificateAuthority>;
  /** Each mostly waits for a process that loads, and for what it is told. */
  readonly starting: readonly Promise<KeptSidecar>[];
}

export function startSidecars(planned: PlannedSidecars, parts: StartParts, scope: Scope): StartedSidecars {
  const { plan } = parts.request;
  const minting = mint(parts.reservation.id);
  const upstreamCa = Promise.all(plan.upstreamCa.map((path) => readFile(path, "utf8")));
  upstreamCa.catch(() => {});
  const pipelock = planned.pipelock && pipelockPlace(parts.reservation.id, planned.pipelock);
  const wishes: readonly Promise<SidecarRequest>[] = [
    egressRequest(
      {
        ...{ ...parts, minting, pipelock, readingCa: upstreamCa, bearer: planned.egress.bearer },
        endpoint: endpointIn(parts.linking, "egress"),
      },
      scope,
    ),
    ...(pipelock === undefined ? [] : [wishForPipelock(pipelock, upstreamCa, parts, scope)]),
    ...(planned.gate === undefined ? [] : [wishForGate(planned.gate, planned.gateHome, parts, scope)]),
  ];
  const kept = async (coming: Promise<KeptSidecar>): Promise<KeptSidecar> => {
    const sidecar = await coming;
    parts.running(sidecar);
    return sidecar;
  };
  const starting = wishes.map((wish) => kept(wish.then((request) => keepSidecar(request, scope))));
  if (planned.supervise !== undefined) {
    const endpoint = endpointIn(parts.linking, "supervise");
    const wish = superviseRequest({ ...parts, ...planned.supervise, endpoint }, scope);
    starting.push(kept(keepSidecarOnFirstUse(wish, parts.verified, scope)));
  }
  return { minting, starting };
}

async function pipelockPlace(id: string, place: Omit<PipelockPlace, "authority">): Promise<PipelockPlace> {
  return { ...place, authority: await mint(`${id} pipelock`) };
}

async function wishForPipelock(
  pipelock: Promise<PipelockPlace>,
  readingCa: Promise<readonly string[]>,
  parts: StartParts,
  scope: Scope,
): Promise<SidecarRequest> {
  const [place, upstreamCa] = await Promise.all([pipelock, readingCa]);
  const policy = () => pipelockInForce(parts.request.plan, parts.inbox.state);
  return pipelockRequest(place, { ...parts, upstreamCa, policy }, scope);
}

async function wishForGate(
  gate: NonNullable<PlannedSidecars["gate"]>,
  sidecarHome: Pending<SidecarHome>,
  parts: StartParts,
  scope: Scope,
): Promise<SidecarRequest> {
  const { decoy, findingsKey, places } = parts;
  const endpoint = endpointIn(parts.linking, "git-gate");
  try {
    return await gateRequest(
      { ...gate, decoy, findingsKey },
      { ...parts, endpoint, at: places, sidecarHome },
      scope,
    );
  } catch (error) {
    sidecarHome.reject(error);
    throw error;
  }
}

/** Its library takes longer to load than the guest's namespaces take to make: both at once. */
function mint(id: string): Promise<CertificateAuthority> {
  const coming = import("../bundle/certificate-authority.ts").then(({ mintAuthority }) => mintAuthority(id));
  coming.catch(() => {});
  return coming;
}

/** 256 bits: it cannot be guessed by whoever reaches the link besides this guest. */
function newBearer(): string {
  return randomBytes(32).toString("base64url");
}
