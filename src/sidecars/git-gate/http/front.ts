/**
 * The gate's HTTP server: strict, bounded, and for one bottle. The guest is hostile; whatever it sends that is not git's
 * smart protocol gets a refusal, and nothing it sends chooses a path, a program or an argument.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createStrictHttp, type StrictHttp } from "../../../lib/strict-http.ts";
import { type Refusal, refuse, type Subject } from "../denial.ts";
import type { Reporter } from "../events.ts";
import { LIMITS } from "../limits.ts";
import type { BearerCheck } from "./bearer.ts";
import { createCommons } from "./commons.ts";
import { advertise, type Exchange, serve } from "./exchange.ts";
import { answerRefusal } from "./refusal.ts";
import { type Target, targetOfRequest } from "./target.ts";

export interface FrontOptions {
  readonly checkBearer: BearerCheck;
  readonly repos: ReadonlyMap<string, Exchange["repo"]>;
  readonly report: Reporter;
}

export interface Front extends StrictHttp {
  /** Refuses what comes from now on. */
  stop(): void;
}

export function createFront(options: FrontOptions): Front {
  const { report } = options;
  const commons = createCommons();
  let stopping = false;

  async function handle(request: IncomingMessage, response: ServerResponse, busy: number): Promise<void> {
    const verdict = admit(request, busy);
    if (verdict.kind === "refused") {
      const what = [`${request.method ?? ""} ${(request.url ?? "").split("?")[0]}`];
      const subject: Subject = {
        action: "request",
        ...(verdict.repo !== undefined && { repo: verdict.repo }),
        what,
      };
      report.refusedRequest(verdict.refusal, subject);
      answerRefusal(request, response, verdict.refusal, subject);
      return;
    }
    const repo = options.repos.get(verdict.repo);
    if (repo === undefined) throw new Error("an admitted request without a repository");
    const exchange: Exchange = { request, response, service: verdict.service, repo, commons };
    await (verdict.kind === "advertise" ? advertise(exchange) : serve(exchange));
  }

  function admit(request: IncomingMessage, busy: number): Target {
    const no = (refusal: Refusal, repo?: string): Target => ({
      kind: "refused",
      refusal,
      ...(repo !== undefined && { repo }),
    });
    if (!options.checkBearer(request.headers.authorization)) {
      return no(
        refuse(
          "bearer-required",
          "this gate serves one bottle, and the request lacks its bearer",
          "Authorization: Bearer",
        ),
      );
    }
    if (stopping) return no(refuse("stopping", "the gate is being stopped", "the bottle's end"));
    const target = targetOfRequest(request.method ?? "", request.url ?? "", request.headers["content-type"]);
    if (target.kind === "refused") return target;
    if (!options.repos.has(target.repo)) {
      const names = [...options.repos.keys()].join(", ");
      return no(
        refuse("repo-unknown", "no repository of this name is behind the gate", `repos: ${names}`),
        target.repo,
      );
    }
    if (busy > LIMITS.exchanges) {
      return no(
        refuse("overloaded", "too many requests at once", `${LIMITS.exchanges} requests`),
        target.repo,
      );
    }
    return target;
  }

  const http = createStrictHttp({
    headBytes: LIMITS.headBytes,
    headMs: LIMITS.headMs,
    requestMs: LIMITS.exchangeMs,
    keepAliveMs: 15_000,
    connections: LIMITS.connections,
    handle,
    onError: (text) => report.log("error", text),
  });
  return {
    ...http,
    stop() {
      stopping = true;
    },
  };
}
