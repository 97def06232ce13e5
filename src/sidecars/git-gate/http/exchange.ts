/** One request from its head to its end: a fetch, or a push with the hook's question in the middle of it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { GitLimits, GitUpdate } from "../../../contract/git-gate.ts";
import { messageOf } from "../../../lib/errors.ts";
import { inWords, type Refusal, refuse, type Subject } from "../denial.ts";
import { answerHook, type HookEnd, newHookEnd, readHookRequest, sayToHook } from "../git/hook.ts";
import type { Running } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import type { Mirror } from "../mirror.ts";
import { isZero, parseUpdates } from "../policy/refs.ts";
import { judgePush, type PushContext, shownUpdates } from "../push/push.ts";
import { type BackendRequest, relayAnswer, startBackend } from "./backend.ts";
import { type BodyEnd, type BodyOptions, encodingOf, pumpBody } from "./body.ts";
import type { Commons } from "./commons.ts";
import { holdAnswer, reportOfNothing, wordsForPeople } from "./held-answer.ts";
import { answerRefusal } from "./refusal.ts";
import type { Service } from "./target.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly service: Service;
  readonly commons: Commons;
  /** All that a push needs but what is its own. */
  readonly repo: Omit<PushContext, "signal" | "say" | "looked">;
}

/** GET info/refs: the moment at which the mirror is made equal to upstream. */
export async function advertise(exchange: Exchange): Promise<void> {
  const { request } = exchange;
  if (!(await refreshed(exchange))) return;
  const running = backendOf(exchange, { advertise: true });
  running.stdin.end();
  await relay(exchange, running, () => {});
  request.resume();
}

/** Makes the mirror equal to upstream, and puts a fetch on the log. False when that is no more to be answered. */
async function refreshed(exchange: Exchange): Promise<boolean> {
  const { response, service, repo, commons } = exchange;
  const began = performance.now();
  const refreshed = await repo.mirror.refresh();
  if (!refreshed.allow) {
    refuseWith(exchange, refreshed);
    return false;
  }
  if (response.destroyed) return false;
  if (service !== "git-upload-pack") return true;
  const ms = Math.round(performance.now() - began);
  const { changed } = refreshed.value;
  const unrecorded = await repo.report.fetched({ repo: repo.name, changed, ms });
  if (unrecorded === undefined) commons.fetched.set(repo.name, performance.now());
  else refuseWith(exchange, unrecorded);
  return unrecorded === undefined;
}

/** Who fetches without info/refs would leave no trace, and get what was there before. */
function isFresh({ service, repo, commons }: Exchange): boolean {
  if (!repo.mirror.exists()) return false;
  const fetched = commons.fetched.get(repo.name) ?? Number.NEGATIVE_INFINITY;
  return service === "git-receive-pack" || performance.now() - fetched < LIMITS.fetchedMs;
}

/** POST: what follows. */
export async function serve(exchange: Exchange): Promise<void> {
  const { request, response, service, commons } = exchange;
  const encoding = encodingOf(request);
  if (encoding === "unknown") {
    return refuseWith(
      exchange,
      refuse("request-malformed", "the body's encoding is none of git's", "gzip or none"),
    );
  }
  if (!isFresh(exchange) && !(await refreshed(exchange))) return;
  const done = await commons.work.take();
  try {
    if (response.destroyed) return;
    await (service === "git-receive-pack" ? receive(exchange, encoding, done) : send(exchange, encoding));
  } finally {
    done();
  }
}

async function send(exchange: Exchange, encoding: "gzip" | "identity"): Promise<void> {
  const running = backendOf(exchange, { advertise: false });
  const watch = watchIdle(exchange, running);
  const body = pump(exchange, encoding, running, {
    maxBytes: LIMITS.fetchRequestBytes,
    moved: watch.moved,
  });
  await relay(exchange, running, watch.moved);
  await body;
  watch.stop();
}

/** @param looked to be called when the work is done, and at most the operator is waited for. */
async function receive(exchange: Exchange, encoding: "gzip" | "identity", looked: () => void): Promise<void> {
  const { response, repo, commons } = exchange;
  const left = await repo.mirror.receiving();
  const hookEnd = newHookEnd();
  const running = backendOf(exchange, { advertise: false, hookEnd });
  const watch = watchIdle(exchange, running);
  const answer = holdAnswer();
  const judging = judge(exchange, running, hookEnd, looked);
  const maxBytes = limitsOf(exchange).packBytes + LIMITS.framingBytes;
  const quarantine = commons.quarantines.open();
  // Git removes it with its own end, however this goes.
  void running.ended.then(() => quarantine.close());
  const body = pump(exchange, encoding, running, {
    maxBytes,
    moved: watch.moved,
    hasRoom: (bytes) => quarantine.add(bytes, maxBytes),
  });
  const late = endLate(running, body, judging.asked);
  const answered = await relayAnswer(running, response, watch.moved, answer);
  const ended = await running.ended;
  const [end, told] = await Promise.all([body, judging.told]);
  watch.stop();
  late.stop();
  await left(ended.code === 0);

  // Whoever closed this has said why, or is not there any more.
  if (response.destroyed || response.writableEnded) return;
  const held = answer.held();
  const isSaid = answered && ended.code === 0 && held !== undefined;
  if (end.how === "crowded") refuseUnasked(exchange, end, tooMuchHeld(), undefined);
  else if (told === "unasked" && end.how === "complete" && (end.commands.length > 0 || !isSaid)) {
    refuseUnasked(exchange, end, notTaken(), isSaid ? held : undefined);
  } else if (told === "untrue" || !isSaid) await breakOff(response);
  else response.end(held);
}

function notTaken(): Refusal {
  return refuse(
    "pack-refused",
    "git did not take the objects: too large, damaged, malformed, or without what they stand on",
    "git receive-pack, fsck",
  );
}

function tooMuchHeld(): Refusal {
  const reason = "the pushes that are not decided yet are too large together";
  return refuse("overloaded", reason, `${LIMITS.heldBytes} bytes`);
}

/** Before the hook; nothing of it has left the gate. @param said what git itself made of it, if anything. */
function refuseUnasked(exchange: Exchange, end: BodyEnd, refusal: Refusal, said: Buffer | undefined): void {
  const { request, response, repo } = exchange;
  const parsed = parseUpdates(end.commands, LIMITS.updates);
  const updates = parsed.allow ? parsed.value : [];
  const shown = shownUpdates(repo.policy().inspector, updates);
  repo.report.refusedPush(refusal, repo.name, shown);
  const subject: Subject = { action: "push", repo: repo.name, what: shown.map(({ ref }) => ref) };
  if (end.capabilities.has("side-band-64k")) {
    response.write(wordsForPeople(inWords(refusal, subject)));
    const refs = updates.map(({ ref }) => ref);
    response.end(said ?? reportOfNothing(refs, end.capabilities));
  } else if (said !== undefined) response.end(said);
  else answerRefusal(request, response, refusal, subject);
}

function pump(
  exchange: Exchange,
  encoding: "gzip" | "identity",
  running: Running,
  options: Omit<BodyOptions, "commands">,
): Promise<BodyEnd> {
  const { request, service } = exchange;
  const commands = service === "git-receive-pack";
  return pumpBody(request, encoding, running.stdin, { ...options, commands }).then((end) => {
    if (end.how !== "complete") running.kill();
    if (end.how === "too-large") {
      const reason = "the request is larger than what may be sent at once";
      refuseWith(exchange, refuse("request-too-large", reason, `${options.maxBytes} bytes`));
    }
    if (end.how === "malformed") {
      refuseWith(exchange, refuse("request-malformed", "the request is not git's", "git's smart protocol"));
    }
    return end;
  });
}

/** Ends what has all of a push and does not come to its hook. */
function endLate(running: Running, body: Promise<unknown>, asked: Promise<unknown>): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  void body.then(() => {
    if (!over) timer = setTimeout(() => running.kill(), LIMITS.receiveMs);
  });
  const stop = (): void => {
    over = true;
    clearTimeout(timer);
  };
  void asked.then(stop);
  return { stop };
}

/** `untrue`: what receive-pack says of the push is not, or may not be, what upstream has. */
type Told = "unasked" | "true" | "untrue";

/** Answers the hook. Nothing it throws may leave a hook without an answer. */
function judge(
  exchange: Exchange,
  running: Running,
  hookEnd: HookEnd,
  looked: () => void,
): { asked: Promise<unknown>; told: Promise<Told> } {
  const { channel } = running;
  if (channel === undefined) throw new Error("a push without a channel");
  const asked = readHookRequest(channel, hookEnd);
  return { asked: asked.catch(() => {}), told: answerAsked(exchange, running, channel, asked, looked) };
}

async function answerAsked(
  { response, repo }: Exchange,
  running: Running,
  channel: Duplex,
  asking: ReturnType<typeof readHookRequest>,
  looked: () => void,
): Promise<Told> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  // Its quarantine is gone as well.
  void running.ended.then(() => gone.abort());
  try {
    const asked = await asking;
    if (asked === undefined) return "unasked";
    const say = (line: string): void => sayToHook(channel, [line]);
    const end = await judgePush({ ...repo, signal: gone.signal, say, looked }, asked);
    switch (end.kind) {
      case "accepted":
        try {
          sayToHook(channel, end.words);
          answerHook(channel, true);
          // receive-pack moves the mirror's refs now.
          await running.ended;
          repo.mirror.moved();
          return (await hasAll(repo.mirror, end.updates)) ? "true" : "untrue";
        } finally {
          end.release();
        }
      case "refused":
        sayToHook(channel, inWords(end.refusal, { action: "push", repo: repo.name, what: end.refs }));
        answerHook(channel, false);
        return "true";
      case "unknown":
        // A refusal would be a claim, and nobody knows: the client sees the answer break off.
        say(`${end.reason}; fetch to see whether it did`);
        answerHook(channel, false);
        return "untrue";
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
    return "true";
  }
}

/** Whether receive-pack has done what it was let do. */
async function hasAll(mirror: Mirror, updates: readonly GitUpdate[]): Promise<boolean> {
  const refs = await mirror.refs();
  return updates.every(({ ref, new: next }) => (isZero(next) ? !refs.has(ref) : refs.get(ref) === next));
}

/** So that the client sees an answer that ends too early. One that had not begun it would try again by itself. */
async function breakOff(response: ServerResponse): Promise<void> {
  response.flushHeaders();
  await sleep(BREAK_MS);
  response.destroy();
}

/** For what was written to be on its way. */
const BREAK_MS = 50;

async function relay(exchange: Exchange, running: Running, moved: () => void): Promise<void> {
  const { response } = exchange;
  // A fetch for nobody ends. (A push that has begun to be forwarded goes on to its end.)
  response.once("close", () => running.kill());
  const answered = await relayAnswer(running, response, moved);
  const ended = await running.ended;
  if (response.destroyed || response.writableEnded) return;
  if (!answered) {
    refuseWith(exchange, refuse("upstream-failed", "git did not answer", "git http-backend"));
    exchange.repo.report.log("warn", `http-backend exited ${ended.code} without an answer`);
  } else if (ended.code !== 0) response.destroy();
  else response.end();
}

function backendOf(exchange: Exchange, how: Pick<BackendRequest, "advertise" | "hookEnd">): Running {
  const { request, service, repo } = exchange;
  const protocol = request.headers["git-protocol"];
  return startBackend(repo.git, repo.mirror.place, {
    ...how,
    method: how.advertise ? "GET" : "POST",
    service,
    protocol: typeof protocol === "string" ? protocol : undefined,
    limits: limitsOf(exchange),
  });
}

function limitsOf({ repo }: Exchange): GitLimits {
  const found = repo.policy().repos.get(repo.name);
  if (found === undefined) throw new Error(`no policy for ${repo.name}`);
  return found.policy.limits;
}

function refuseWith(exchange: Exchange, refusal: Refusal): void {
  const { request, response, service, repo } = exchange;
  const subject: Subject = { action: service === "git-upload-pack" ? "fetch" : "push", repo: repo.name };
  repo.report.refusedRequest(refusal, subject);
  answerRefusal(request, response, refusal, subject);
}

/** Ends both when nothing moves: git, and a client that neither sends nor reads. */
function watchIdle({ request }: Exchange, running: Running): { moved(): void; stop(): void } {
  let timer = setTimeout(() => {
    running.kill();
    request.destroy();
  }, LIMITS.idleMs);
  return {
    moved() {
      timer = timer.refresh();
    },
    stop: () => clearTimeout(timer),
  };
}
