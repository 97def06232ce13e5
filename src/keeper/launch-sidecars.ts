/** A launch's sidecars: which there are, who may speak to them, and their start, all of them at once. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type KeptSidecar, keepSidecar, type SidecarRequest } from "../bundle/bundle.ts";
import { type CertificateAuthority, mintAuthority } from "../bundle/certificate-authority.ts";
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
  /** The guest is to trust its authority. The bearer is for a link that others could dial too, which is not known yet. */
  readonly egress: { readonly authority: CertificateAuthority; readonly bearer: string };
  readonly gate: { readonly repos: NonNullable<BottlePlan["repos"]>; readonly bearer: string } | undefined;
  readonly supervise: { readonly bearer: string } | undefined;
  readonly pipelock: PipelockPlace | undefined;
  /** What the backend makes for them; settled with the gate's start. */
  readonly home: Promise<SidecarHome>;
  readonly gateHome: Pending<SidecarHome>;
}

export function planSidecars(
  id: string,
  plan: BottlePlan,
  pipelockAt: Omit<PipelockPlace, "authority"> | undefined,
): PlannedSidecars {
  const egress = { authority: mintAuthority(id), bearer: newBearer() };
  const pipelock = pipelockAt && { ...pipelockAt, authority: mintAuthority(`${id} pipelock`) };
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
  return { services, egress, gate, supervise, pipelock, home, gateHome };
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

/** Each mostly waits for a process that loads, and for what it is told. */
export function startSidecars(
  planned: PlannedSidecars,
  parts: StartParts,
  scope: Scope,
): readonly Promise<KeptSidecar>[] {
  const { plan } = parts.request;
  const upstreamCa = Promise.all(plan.upstreamCa.map((path) => readFile(path, "utf8")));
  upstreamCa.catch(() => {});
  const { pipelock } = planned;
  const wishes: readonly Promise<SidecarRequest>[] = [
    egressRequest(
      {
        ...{ ...parts, ...planned.egress, pipelock, readingCa: upstreamCa },
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
  return starting;
}

async function wishForPipelock(
  pipelock: PipelockPlace,
  readingCa: Promise<readonly string[]>,
  parts: StartParts,
  scope: Scope,
): Promise<SidecarRequest> {
  const upstreamCa = await readingCa;
  const policy = () => pipelockInForce(parts.request.plan, parts.inbox.state);
  return pipelockRequest(pipelock, { ...parts, upstreamCa, policy }, scope);
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

/** 256 bits: it cannot be guessed by whoever reaches the link besides this guest. */
function newBearer(): string {
  return randomBytes(32).toString("base64url");
}
