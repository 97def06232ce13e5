/**
 * What each sidecar is to hold to now: the plan's policy with every grant that is in force, each with its end. Made
 * anew whenever something changes and whenever a sidecar starts, so a restart never brings back what was taken.
 */
import { type Allowed, environmentParts } from "../approvals/allowed.ts";
import { capabilitiesOf, type Ledger } from "../approvals/ledger.ts";
import { egressPolicy, type PolicyMaterial } from "../bundle/egress-settings.ts";
import type { RequestView, SupervisePolicy } from "../contract/approvals.ts";
import { defaultRefRules, type GitGatePolicy } from "../contract/git-gate.ts";
import type { PipelockPolicy } from "../contract/pipelock.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { BOTTLE_ID } from "../contract/repository.ts";
import type { EgressPolicy, RouteGrant } from "../contract/sidecar.ts";
import { pipelockPolicy } from "../plan/pipelock.ts";
import { upstreamUrl } from "../plan/upstream-url.ts";
import type { InForce } from "./inbox.ts";

/** What the plan alone allows, in the terms in which grants add to it. */
export function plannedAllowed(
  id: string,
  plan: Pick<BottlePlan, "routes" | "repos"> & Partial<Pick<BottlePlan, "env" | "mounts">>,
): Allowed {
  const { env = [], mounts = [] } = plan;
  return {
    environment: environmentParts({
      variables: env.map(({ name }) => name),
      files: mounts.map(({ to }) => to),
      programs: [],
    }),
    routes: plan.routes,
    repos: (plan.repos ?? []).map(({ name, upstream, refs }) => ({
      name,
      upstream: upstreamUrl(upstream),
      refs:
        refs?.map((ref) => ({ ...ref, pattern: ref.pattern.replaceAll(BOTTLE_ID, id) })) ??
        defaultRefRules(id),
    })),
    findings: [],
    gitExceptions: (plan.repos ?? []).flatMap(({ name: repo, exceptions = [] }) =>
      exceptions.flatMap(({ code, subjects }) =>
        subjects.map((subject) => ({
          ...{ repo, code },
          subject: code === "ref-not-allowed" ? subject.replaceAll(BOTTLE_ID, id) : subject,
        })),
      ),
    ),
  };
}

export function egressInForce(base: PolicyMaterial, { live, ledger, frozen }: InForce): EgressPolicy {
  const planned = egressPolicy({ ...base, plan: { ...base.plan, routes: live.routes } });
  return {
    ...planned,
    routes: planned.routes.map((route, i) => withGrant(route, live.routes[i]?.grant, ledger)),
    exceptions: live.findings.map(({ host, detector, finding, grant }) =>
      withGrant({ host, detector, finding }, grant, ledger),
    ),
    frozen,
  };
}

export function pipelockInForce(
  { placeholderHosts = [] }: Pick<BottlePlan, "placeholderHosts">,
  { live }: InForce,
): PipelockPolicy {
  return pipelockPolicy(live.routes, placeholderHosts);
}

export function gateInForce(base: GitGatePolicy, { live, ledger, frozen }: InForce): GitGatePolicy {
  const refsOf = (name: string): Allowed["repos"][number]["refs"] =>
    live.repos.find((repo) => repo.name === name)?.refs ?? [];
  return {
    ...base,
    repos: Object.fromEntries(
      Object.entries(base.repos).map(([name, policy]) => [
        name,
        {
          ...policy,
          refs: refsOf(name).map(({ grant, ...ref }) => withGrant({ ...ref }, grant, ledger)),
        },
      ]),
    ),
    exceptions: live.gitExceptions.map(({ grant, ...exception }) =>
      withGrant({ ...exception }, grant, ledger),
    ),
    frozen,
  };
}

export function superviseInForce(
  { now, allowed, frozen }: InForce,
  secrets: readonly string[],
  requests: readonly RequestView[],
): SupervisePolicy {
  return {
    capabilities: capabilitiesOf(allowed),
    secrets: [...secrets],
    now,
    requests: [...requests],
    frozen,
  };
}

function withGrant<T extends object>(
  what: T,
  ticket: string | undefined,
  ledger: Ledger,
): T & { grant?: RouteGrant } {
  if (ticket === undefined) return what;
  const outcome = ledger.get(ticket)?.outcome;
  // What hangs on a grant that nobody knows is not allowed: its time was over at once.
  if (outcome?.status !== "approved") return { ...what, grant: { id: ticket, until: 0 } };
  const { terms, usesLeft, bytesLeft } = outcome.grant;
  return {
    ...what,
    grant: {
      id: ticket,
      ...(terms.expiresAt !== null && { until: terms.expiresAt }),
      ...(terms.uses !== null && { uses: { most: terms.uses, before: terms.uses - (usesLeft ?? 0) } }),
      ...(terms.bytes !== null && { bytes: { most: terms.bytes, before: terms.bytes - (bytesLeft ?? 0) } }),
    },
  };
}
