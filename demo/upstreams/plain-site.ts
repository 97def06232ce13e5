/** An ordinary site: a page, an echo, and a stream of events. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type RecordedRequest,
  type Reply,
  sendJson,
  startUpstream,
  type Upstream,
  type UpstreamOptions,
} from "./tls-upstream.ts";

/** What `GET /` says. */
export const HELLO = "hello from the plain site\n";

/** `/events` asks for numbers; these bound what one request can cost. */
const MAX_EVENTS = 1_000;
const MAX_EVENT_INTERVAL_MS = 10_000;

/**
 * - `GET /`: {@link HELLO}
 * - any method on `/echo`: method, target, headers and body as JSON
 * - `GET /events?count=3&every=50`: that many server-sent events, that many milliseconds apart
 * - anything else: 404
 */
export function startPlainSite(options: UpstreamOptions): Promise<Upstream> {
  return startUpstream(options, answer);
}

async function answer(request: RecordedRequest, reply: Reply): Promise<void> {
  const url = new URL(request.target, "https://site");
  switch (url.pathname) {
    case "/":
      reply.head(200, { "content-type": "text/plain" });
      reply.end(HELLO);
      return;
    case "/echo":
      sendJson(reply, 200, request);
      return;
    case "/events":
      await streamEvents(url.searchParams, reply);
      return;
    default:
      reply.head(404, { "content-type": "text/plain" });
      reply.end("no such page\n");
  }
}

async function streamEvents(query: URLSearchParams, reply: Reply): Promise<void> {
  const count = bounded(query.get("count"), 3, MAX_EVENTS);
  const every = bounded(query.get("every"), 0, MAX_EVENT_INTERVAL_MS);
  reply.head(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  for (let i = 0; i < count; i++) {
    if (i > 0) await sleep(every);
    if (!(await reply.write(`id: ${i}\ndata: event ${i}\n\n`))) return;
  }
  reply.end();
}

function bounded(text: string | null, fallback: number, most: number): number {
  const value = text === null ? fallback : Number(text);
  return Number.isInteger(value) && value >= 0 ? Math.min(value, most) : fallback;
}
