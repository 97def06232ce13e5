/** One request from its head to its end: a fetch, or a push with the hook's question in the middle of it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../../lib/errors.ts";
import { inWords, type Refusal, refuse, type Subject } from "../denial.ts";
import { answerHook, readHookRequest, sayToHook } from "../git/hook.ts";
import type { Running } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import { parseUpdates } from "../policy/refs.ts";
import { judgePush, type PushContext, shownUpdates } from "../push/push.ts";
import { relayAnswer, startBackend } from "./backend.ts";
import { encodingOf, pumpBody } from "./body.ts";
import { answerRefusal } from "./refusal.ts";
import type { Service } from "./target.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly service: Service;
  /** All that a push needs but its own signal and voice. */
  readonly repo: Omit<PushContext, "signal" | "say">;
}

/** GET info/refs: the moment at which the mirror is made equal to upstream. */
export async function advertise(exchange: Exchange): Promise<void> {
  const { request, response, service, repo } = exchange;
  const began = performance.now();
  const refreshed = await repo.mirror.refresh();
  if (!refreshed.allow) return refuseWith(exchange, refreshed);
  if (response.destroyed) return;
  const running = backendOf(exchange, true);
  running.stdin.end();
  await relay(exchange, running, () => {});
  if (service === "git-upload-pack") {
    const ms = Math.round(performance.now() - began);
    repo.report.fetched({ repo: repo.name, changed: refreshed.value.changed, ms });
  }
  request.resume();
}

/** POST: what follows. */
export async function serve(exchange: Exchange): Promise<void> {
  const { request, service, repo } = exchange;
  const encoding = encodingOf(request);
  if (encoding === "unknown") {
    return refuseWith(
      exchange,
      refuse("request-malformed", "the body's encoding is none of git's", "gzip or none"),
    );
  }
  // Who skips info/refs gets what was there, if there is anything.
  if (!repo.mirror.exists()) {
    const refreshed = await repo.mirror.refresh();
    if (!refreshed.allow) return refuseWith(exchange, refreshed);
  }
  const running = backendOf(exchange, false);
  const watch = watchIdle(() => running.kill());
  const isPush = service === "git-receive-pack";
  const judging = isPush ? judge(exchange, running) : undefined;
  const maxBytes = isPush ? maxPackBytes(exchange) + LIMITS.framingBytes : LIMITS.fetchRequestBytes;
  const body = pumpBody(request, encoding, running.stdin, {
    maxBytes,
    commands: isPush,
    moved: watch.moved,
  }).then((end) => {
    if (end.how !== "complete") running.kill();
    if (end.how === "too-large") {
      refuseWith(
        exchange,
        refuse(
          "request-too-large",
          "the request is larger than what may be sent at once",
          `${maxBytes} bytes`,
        ),
      );
    }
    if (end.how === "malformed") {
      refuseWith(exchange, refuse("request-malformed", "the request is not git's", "git's smart protocol"));
    }
    return end;
  });
  await relay(exchange, running, watch.moved);
  watch.stop();
  const [end, asked] = await Promise.all([body, judging]);
  if (isPush && asked === false && end.how === "complete") tellUnasked(repo, end.commands);
}

/** Git itself said no, before the hook: the agent has read why, and the log is to hold that it happened. */
function tellUnasked({ name, policy, report }: Exchange["repo"], commands: readonly string[]): void {
  const parsed = parseUpdates(commands, LIMITS.updates);
  // A client tries out a connection with a push of nothing.
  if (commands.length === 0) return;
  const refusal = refuse(
    "pack-refused",
    "git did not take the objects: too large, damaged, malformed, or without what they stand on",
    "git receive-pack, fsck",
  );
  report.refusedPush(refusal, name, parsed.allow ? shownUpdates(policy().inspector, parsed.value) : []);
}

/**
 * Answers the hook; resolves when the push is over, with whether the hook asked at all. Nothing it throws may leave a
 * hook without an answer.
 */
async function judge(exchange: Exchange, running: Running): Promise<boolean> {
  const { channel } = running;
  if (channel === undefined) throw new Error("a push without a channel");
  const { response, repo } = exchange;
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    const asked = await readHookRequest(channel);
    if (asked === undefined) return false;
    const say = (line: string): void => sayToHook(channel, [line]);
    const end = await judgePush({ ...repo, signal: gone.signal, say }, asked);
    switch (end.kind) {
      case "accepted":
        sayToHook(channel, end.words);
        answerHook(channel, true);
        // receive-pack moves the mirror's refs now.
        await running.ended.finally(end.release);
        return true;
      case "refused":
        sayToHook(channel, inWords(end.refusal, { action: "push", repo: repo.name, what: end.refs }));
        answerHook(channel, false);
        return true;
      case "unknown":
        // A refusal would be a claim, and nobody knows: the client sees the answer break off. One that had not
        // begun it would try again by itself.
        say(`${end.reason}; fetch to see whether it did`);
        await begun(response);
        response.destroy();
        running.kill();
        return true;
    }
  } catch (error) {
    repo.report.log("error", `a push could not be judged: ${messageOf(error)}`);
    const refusal = refuse(
      "inspection-failed",
      "the gate failed while it judged the push",
      "all of it, or nothing",
    );
    repo.report.refusedPush(refusal, repo.name, []);
    sayToHook(channel, inWords(refusal, { action: "push", repo: repo.name }));
    answerHook(channel, false);
    return true;
  }
}

/** Waits a little for the first bytes of the answer to be on their way. */
async function begun(response: ServerResponse): Promise<void> {
  const deadline = performance.now() + LIMITS.killMs;
  while (!response.headersSent && !response.destroyed && performance.now() < deadline) await sleep(POLL_MS);
  await sleep(POLL_MS);
}

const POLL_MS = 20;

async function relay(exchange: Exchange, running: Running, moved: () => void): Promise<void> {
  const { response, service } = exchange;
  // A fetch for nobody ends. A push that has begun to be forwarded goes on to its end.
  if (service === "git-upload-pack") response.once("close", () => running.kill());
  const answered = await relayAnswer(running, response, moved);
  const ended = await running.ended;
  if (response.destroyed) return;
  if (!answered) {
    refuseWith(exchange, refuse("upstream-failed", "git did not answer", "git http-backend"));
    exchange.repo.report.log("warn", `http-backend exited ${ended.code} without an answer`);
  } else if (ended.code !== 0) response.destroy();
  else response.end();
}

function backendOf({ request, service, repo }: Exchange, advertising: boolean): Running {
  const protocol = request.headers["git-protocol"];
  return startBackend(repo.git, repo.mirror.place, {
    method: advertising ? "GET" : "POST",
    service,
    advertise: advertising,
    protocol: typeof protocol === "string" ? protocol : undefined,
    maxPackBytes: repo.policy().repos.get(repo.name)?.policy.limits.packBytes ?? 0,
  });
}

function maxPackBytes({ repo }: Exchange): number {
  return repo.policy().repos.get(repo.name)?.policy.limits.packBytes ?? 0;
}

function refuseWith(exchange: Exchange, refusal: Refusal): void {
  const { request, response, service, repo } = exchange;
  const subject: Subject = { action: service === "git-upload-pack" ? "fetch" : "push", repo: repo.name };
  repo.report.refusedRequest(refusal, subject);
  answerRefusal(request, response, refusal, subject);
}

function watchIdle(idle: () => void): { moved(): void; stop(): void } {
  let timer = setTimeout(idle, LIMITS.idleMs);
  return {
    moved() {
      timer = timer.refresh();
    },
    stop: () => clearTimeout(timer),
  };
}
