/**
 * Supervise's HTTP server: strict, bounded, and for one bottle. Whatever passes is handed to the protocol's own
 * implementation; whatever does not is refused in the protocol's form, and counted.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createStrictHttp, type StrictHttp } from "../../../lib/strict-http.ts";
import { createBucket } from "../bucket.ts";
import { LIMITS } from "../limits.ts";
import { REFUSAL_STATUS, type Refusal } from "./admission.ts";

export interface FrontOptions {
  readonly admit: (request: IncomingMessage) => Refusal | undefined;
  readonly serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly onRefused: (code: string) => void;
  readonly onError: (text: string) => void;
}

export interface Front extends StrictHttp {
  /** Refuses what comes from now on. */
  stop(): void;
}

export function createFront(options: FrontOptions): Front {
  const flood = createBucket(LIMITS.burst, LIMITS.perSecond);
  let stopping = false;

  function refusalOf(request: IncomingMessage, busy: number): Refusal | undefined {
    const seconds = flood.take();
    if (seconds > 0) {
      const headers = { "retry-after": String(seconds) };
      return { code: "request-rate", reason: `too many requests: wait ${seconds} s`, headers };
    }
    const refusal = options.admit(request);
    if (refusal !== undefined) return refusal;
    if (stopping) return { code: "stopping", reason: "the bottle is ending" };
    if (busy > LIMITS.exchanges) {
      return { code: "overloaded", reason: `${LIMITS.exchanges} requests are in progress` };
    }
    return undefined;
  }

  const http = createStrictHttp({
    headBytes: LIMITS.headBytes,
    headMs: LIMITS.requestMs,
    requestMs: LIMITS.requestMs,
    keepAliveMs: 30_000,
    connections: LIMITS.connections,
    async handle(request, response, busy) {
      const refusal = refusalOf(request, busy);
      if (refusal === undefined) return options.serve(request, response);
      options.onRefused(refusal.code);
      answer(request, response, refusal);
    },
    onError: options.onError,
  });
  return {
    ...http,
    stop() {
      stopping = true;
    },
  };
}

/** In the protocol's form of an error that belongs to no call. A body that still comes is not waited for. */
function answer(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  const { code, reason, headers } = refusal;
  const body = JSON.stringify({ jsonrpc: "2.0", error: { code: -32_000, message: reason }, id: null });
  response.writeHead(REFUSAL_STATUS[code], {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-bottle-denied": code,
    connection: "close",
    ...headers,
  });
  response.end(body);
  request.resume();
}
