/**
 * Egress as a value: what the process (main.ts), tests and benches start. It serves from the moment the
 * promise resolves; until then, and after it has ended, a connection is refused and not left waiting.
 */
import type { Server } from "node:net";
import { createGrants } from "../../approvals/grant-counter.ts";
import { LISTENER_ROLES, type ListenerRole } from "../../contract/backend.ts";
import {
  type EgressConfig,
  type EgressPolicy,
  egressPolicySchema,
  type RouteGrant,
} from "../../contract/sidecar.ts";
import { UserError } from "../../lib/errors.ts";
import { listen, listeningOn } from "../../lib/listening.ts";
import { createTicker } from "../../lib/ticker.ts";
import { bearerCheck } from "./accept/bearer.ts";
import { Connections } from "./accept/connection.ts";
import { createFront, type Front } from "./accept/front.ts";
import { grantEnded } from "./account.ts";
import { type Resolve, systemResolve } from "./address/resolve.ts";
import { createBudget } from "./budget.ts";
import { createClearance, type RecordEvent } from "./clearance.ts";
import { frozen } from "./denial.ts";
import { createReporter, type Emit, type Reporter } from "./events.ts";
import { compileInspection } from "./inspection/inspection.ts";
import { createIssuedTokens } from "./inspection/issued-tokens.ts";
import { LIMITS, type Limits } from "./limits.ts";
import { compilePolicy } from "./policy/compile.ts";
import { createQuestions } from "./questions.ts";
import type { Generation, Services } from "./services.ts";
import { createLeaves } from "./tls/leaves.ts";
import { createPool } from "./upstream/pool.ts";

export interface EgressOptions {
  readonly emit: Emit;
  readonly record: RecordEvent;
  /** The handles for `kind: "inherited"`; already listening. */
  readonly listeners?: ReadonlyMap<string, Server>;
  readonly resolve?: Resolve;
  readonly limits?: Partial<Limits>;
}

export interface Egress {
  /** Addresses really bound. */
  readonly listening: readonly string[];
  /** Replaces the policy for every request from now on. Rejects when it is refused; the old one stays. */
  reload(policy: unknown): Promise<void>;
  /** What the keeper says to a question. False when there is no such one. */
  answer(ask: string): boolean;
  /** Accepts nothing more, lets what is in progress finish for a bounded time, then ends it. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): void;
}

/** @throws UserError when the configuration cannot be served. */
export async function startEgress(config: EgressConfig, options: EgressOptions): Promise<Egress> {
  const limits: Limits = { ...LIMITS, ...operatorsLimits(config.limits), ...options.limits };
  const issued = createIssuedTokens();
  const grants = createGrants();
  const messagesHeld = { bytes: 0 };
  const questions = createQuestions(options.emit, limits);
  const events = createReporter(options.emit, limits, config.log);
  const report: Reporter = {
    ...events,
    denied(refusal, subject) {
      events.denied(refusal, subject);
      questions.about(refusal, subject);
    },
  };
  const generation = async (policy: EgressPolicy): Promise<Generation> => ({
    policy: compilePolicy(policy),
    inspection: await compileInspection(policy, config.findingsKey, limits, {
      issued,
      grants,
      excepted: report.excepted,
      messagesHeld,
    }),
    pool: createPool(limits),
  });
  const connections = new Connections(limits);
  const leaves = createLeaves(config.ca, limits.leaves);
  const services: Services = {
    limits,
    report,
    budget: createBudget({
      requests: config.limits?.requestsPerMinute,
      uploadBytes: config.limits?.uploadBytesPerMinute,
      downloadBytes: config.limits?.downloadBytesPerMinute,
    }),
    clearance: createClearance(options.record, limits),
    grants,
    resolve: options.resolve ?? systemResolve,
    leaves,
    connections,
    checkBearer: bearerCheck(config.bearer),
    current: await generation(config.policy),
    stopping: false,
  };
  services.grants.adopt(grantsOf(config.policy));
  const clock = createTicker(limits.tickMs, () => {
    const now = performance.now();
    connections.sweep(now);
    connections.endUngranted(services.grants.holds, grantEnded());
    services.current.pool.sweep(now);
    services.report.flush();
    services.clearance.renew();
    return connections.size + services.current.pool.size > 0;
  });
  // Whatever is to be done every second began with a connection.
  connections.onOpen = clock.wake;
  const servers = await listenAll(config, options.listeners ?? new Map(), createFront(services));
  setImmediate(leaves.warm);

  function stop(): void {
    services.stopping = true;
    clock.stop();
    for (const { server } of servers) server.close();
    connections.destroy();
    services.current.pool.retire();
    services.report.flush();
  }

  return {
    listening: servers.map(({ server, where }) => listeningOn(server, where)),
    async reload(policy) {
      const parsed = egressPolicySchema.parse(policy);
      const next = await generation(parsed);
      services.current.pool.retire();
      services.current = next;
      services.grants.adopt(grantsOf(parsed));
      if (next.policy.frozen) connections.endAll(frozen());
      else connections.endUngranted(services.grants.holds, grantEnded());
    },
    answer: questions.answer,
    async drain() {
      services.stopping = true;
      for (const { server } of servers) server.close();
      connections.stop();
      const deadline = performance.now() + limits.drainMs;
      while (connections.size > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
      }
      stop();
    },
    stop,
  };
}

function grantsOf({ routes, exceptions = [] }: EgressPolicy): readonly (RouteGrant | undefined)[] {
  return [...routes, ...exceptions].map(({ grant }) => grant);
}

/** How often draining looks whether it is done: soon enough for whoever waits for the process to end. */
const DRAIN_POLL_MS = 20;

/** Those of the operator's that take the place of ours. */
function operatorsLimits(given: EgressConfig["limits"] = {}): Partial<Limits> {
  const { headerBytes, connections, requests, idleSeconds, tunnelIdleSeconds } = given;
  return {
    ...(headerBytes !== undefined && { requestHeadBytes: headerBytes }),
    ...(connections !== undefined && { connections }),
    ...(requests !== undefined && { exchanges: requests }),
    ...(idleSeconds !== undefined && { exchangeIdleMs: idleSeconds * 1_000 }),
    ...(tunnelIdleSeconds !== undefined && { tunnelIdleMs: tunnelIdleSeconds * 1_000 }),
  };
}

interface Listening {
  readonly server: Server;
  readonly where: EgressConfig["listen"];
}

/** The proxy's first, then those for programs that know none. */
async function listenAll(
  { listen: main, direct, bearer }: EgressConfig,
  inherited: ReadonlyMap<string, Server>,
  front: Front,
): Promise<readonly Listening[]> {
  if (direct !== undefined && bearer !== undefined) {
    throw new UserError("direct listeners cannot ask for a bearer");
  }
  const wanted: Partial<Record<ListenerRole, EgressConfig["listen"]>> = { main, ...direct };
  const servers: Listening[] = [];
  try {
    for (const role of LISTENER_ROLES) {
      const where = wanted[role];
      if (where === undefined) continue;
      servers.push({
        server: await listen(where, inherited.get(role), front[role], { allowHalfOpen: true }),
        where,
      });
    }
    return servers;
  } catch (error) {
    for (const { server } of servers) server.close();
    throw error;
  }
}
