/**
 * What an agent is told: one value a call, with what to do next first. It has no words of the agent's own in it but
 * what was parsed, and of the operator's only the reason that is meant for it.
 */
import { describeAsk } from "../../approvals/ask-words.ts";
import { routesOfHost } from "../../approvals/host-routes.ts";
import { pathInWords } from "../../approvals/path-words.ts";
import type { Capabilities, RequestView, SupervisePolicy } from "../../contract/approvals.ts";

/** JSON, told as text and as a structure alike. */
export type Told = { readonly next: string } & Readonly<Record<string, unknown>>;

const MINUTE_MS = 60_000;

export function tellRequest(view: RequestView, now: number): Told {
  const { ticket, ask, status, deadline, reason, grant } = view;
  const about = {
    status,
    ticket,
    asked: describeAsk(ask),
    ...(reason !== undefined && { operator_says: reason }),
  };
  switch (status) {
    case "pending":
      return {
        next:
          `The operator has not answered yet. Call check_request with this ticket to wait for the answer (up to 25 s ` +
          `a call), and do what does not depend on it meanwhile. Without an answer by ${moment(deadline, now)} ` +
          "it is no.",
        ...about,
      };
    case "denied":
      return {
        next: "The operator refused this. Do not ask for it again: find another way, or stop and say why.",
        ...about,
      };
    case "expired":
      return {
        next: "Nobody answered before the deadline, so the answer is no. Go on without it.",
        ...about,
      };
    case "withdrawn":
      return { next: "This request was withdrawn.", ...about };
    case "approved":
      return grant === undefined
        ? { next: "Retry what was refused.", ...about }
        : { ...tellGrant(grant, now), ...about };
  }
}

/** Said of what only a bottle's next life can have. */
const PROMISED =
  "The operator agreed. It is not there yet: it comes when this bottle is resumed, with your workspace and this session as " +
  "they are. Finish what does not need it, say what you wait for, and end.";

function tellGrant(grant: NonNullable<RequestView["grant"]>, now: number): Told {
  const { ask, status, expiresAt, usesLeft, bytesLeft, reason } = grant;
  const given = {
    granted: describeAsk(ask),
    grant: status,
    until: expiresAt === null ? "the bottle's end" : moment(expiresAt, now),
    ...(usesLeft !== null && { uses_left: usesLeft }),
    ...(bytesLeft !== null && { bytes_left: bytesLeft }),
    ...(reason !== undefined && { ended_because: reason }),
  };
  switch (status) {
    case "active":
      if (ask.kind === "environment") return { next: PROMISED, ...given };
      return {
        next: "Granted: retry what was refused now. It covers what `granted` says and no more.",
        ...given,
      };
    case "used-up":
      return { next: "The grant is used up. Ask again if you need more of it.", ...given };
    case "expired":
      return { next: "The grant has expired. Ask again if you still need it.", ...given };
    case "revoked":
      return { next: "The operator took the grant back. Do not ask for it again.", ...given };
  }
}

export function tellCapabilities({ capabilities, requests, frozen }: SupervisePolicy, now: number): Told {
  const of = (wanted: (view: RequestView) => boolean): readonly unknown[] =>
    requests.filter(wanted).map((view) => tellRequest(view, now));
  const pending = of(({ status }) => status === "pending");
  const granted = of(({ grant }) => grant?.status === "active");
  const { routes, repos } = capabilities;
  return {
    next: frozen
      ? "This bottle is frozen: nothing leaves it until the operator thaws it. Wait, or stop."
      : "What is not listed is refused. Ask for more with request_access, as narrowly as the task needs.",
    hosts: routes.map(routeInWords),
    repositories: repos.map(repoInWords),
    ...(granted.length > 0 && { granted }),
    ...(pending.length > 0 && { pending }),
  };
}

/** What may be done at a host or in a repository that was named, if anything. */
export function capabilitiesAt(
  { routes, repos }: Capabilities,
  at: { readonly host?: string; readonly repo?: string },
): readonly string[] {
  return [
    ...(at.host === undefined ? [] : routesOfHost(routes, at.host.toLowerCase()).map(routeInWords)),
    ...repos.filter(({ name }) => name === at.repo).map(repoInWords),
  ];
}

function routeInWords({ host, matches, authenticated }: Capabilities["routes"][number]): string {
  const rules = matches.map(({ methods, paths, headers }) =>
    [
      methods?.join(", ") ?? "any method",
      `on ${paths?.map(pathInWords).join(" or ") ?? "any path"}`,
      ...(headers ?? []).map((name) => `with a ${name} header as its rule says`),
    ].join(" "),
  );
  return `${host}: ${rules.join("; ") || "every request"}${authenticated ? " (a credential is added for you)" : ""}`;
}

function repoInWords({ name, refs }: Capabilities["repos"][number]): string {
  const rules = refs.map(
    ({ pattern, force, delete: remove }) =>
      `${pattern}${force ? " forced" : ""}${remove ? " deletable" : ""}`,
  );
  return `${name}: push to ${rules.join(", ") || "nothing"}`;
}

/** The keeper's clock may be ahead of the guest's: how long it is until then counts. */
function moment(at: number, now: number): string {
  const minutes = Math.max(0, Math.round((at - now) / MINUTE_MS));
  return `${new Date(at).toISOString()} (in ${minutes} ${minutes === 1 ? "minute" : "minutes"})`;
}
