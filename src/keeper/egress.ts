/** What the keeper gets ready for egress, and does with what it says. */
import { join } from "node:path";
import type { AuditLog } from "../audit/log.ts";
import type { SidecarRequest } from "../bundle/bundle.ts";
import type { CertificateAuthority } from "../bundle/certificate-authority.ts";
import { egressConfig, type Secrets } from "../bundle/egress-settings.ts";
import { type HostPlaces, placeAt } from "../bundle/host-place.ts";
import { egressAskSchema, type SuperviseAnswer } from "../contract/approvals.ts";
import type { Endpoint, Link } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { EgressPolicy } from "../contract/sidecar.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { recordNotice } from "./bottle-log.ts";
import { countUses } from "./grant-uses.ts";
import { egressInForce, pipelockInForce } from "./in-force.ts";
import type { Inbox } from "./inbox.ts";
import { type PipelockPlace, pipelockHop } from "./pipelock.ts";
import type { Reservation } from "./reservation.ts";

/** @throws what kept the link, the CA or a certificate of the operator's from being had. */
export async function egressRequest(
  parts: {
    readonly reservation: Reservation;
    readonly linking: Promise<Link>;
    readonly minting: Promise<CertificateAuthority>;
    readonly endpoint: Promise<Endpoint>;
    readonly request: { readonly plan: BottlePlan; readonly env: Secrets; readonly credentials: Secrets };
    readonly decoy: string;
    readonly findingsKey: Buffer;
    readonly inbox: Inbox;
    readonly places: HostPlaces;
    readonly pipelock: Promise<PipelockPlace> | undefined;
    readonly readingCa: Promise<readonly string[]>;
    readonly bearer: string;
  },
  scope: Scope,
): Promise<SidecarRequest> {
  const { linking, minting, request, inbox } = parts;
  const { id, paths, log } = parts.reservation;
  const { plan } = request;
  const { credentials, env } = request;
  const material = { plan, upstreamCa: await parts.readingCa, credentials, env, decoy: parts.decoy };
  const place = await parts.pipelock;
  const policy = (): EgressPolicy =>
    egressInForce(
      place === undefined
        ? material
        : { ...material, pipelock: pipelockHop(place, pipelockInForce(plan, inbox.state)) },
      inbox.state,
    );
  const findingsKey = parts.findingsKey.toString("hex");
  const rootDir = join(paths.state, "egress-root");
  scope.defer("egress root", () => removeTree(rootDir));
  return {
    name: "egress",
    id,
    place: placeAt(parts.places, rootDir),
    endpoint: parts.endpoint,
    config: async (endpoint) =>
      egressConfig({
        ...{ id, authority: await minting, endpoint, findingsKey, plan },
        bearer: (await linking).needsBearer ? parts.bearer : undefined,
        policy: policy(),
      }),
    policy,
    onNotice: async (notice) => {
      await recordNotice(log, "egress", notice);
      await countUses(notice, inbox, plan);
    },
    onAsk: (data) => askedByEgress(data, { inbox, log }),
  };
}

/**
 * Egress asks for itself where a route says so (`outbound_on_match: ask`), and only that a finding of its own may pass.
 * @throws when it is anything else: what the agent asks for, or takes back, comes over supervise.
 */
export async function askedByEgress(
  data: unknown,
  { inbox, log }: { readonly inbox: Pick<Inbox, "ask">; readonly log: Pick<AuditLog, "happened"> },
): Promise<SuperviseAnswer> {
  const asked = egressAskSchema.safeParse(data);
  if (asked.success) return await inbox.ask(asked.data);
  await log.happened("egress.misbehaved", { asked: "for what is not its to ask for" });
  throw new Error("egress asked for what is not its to ask for");
}
