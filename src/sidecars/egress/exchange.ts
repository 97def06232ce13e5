/**
 * One request and its answer, from the pipeline's first stage to its last. Both directions stream, with
 * backpressure: nothing is collected. When one side breaks off, so does the other, and an answer that is not
 * whole never ends like one that is.
 */
import type { Socket } from "node:net";
import type { Finding } from "../../inspect/finding.ts";
import type { Activity, Connection } from "./accept/connection.ts";
import { Account, grantEnded } from "./account.ts";
import type { Client } from "./client/client.ts";
import { denialAnswer, type Refusal, refuse, type Subject, shownPath, wantsText } from "./denial.ts";
import type { Inspection } from "./inspection/inspection.ts";
import type { Framing, OutgoingBody } from "./inspection/outgoing-body.ts";
import { type Admission, admit } from "./pipeline.ts";
import type { StatedAnswer } from "./response/head.ts";
import { Relay } from "./response/relay.ts";
import type { Generation, Services } from "./services.ts";
import type { Splice } from "./tunnel/splice.ts";
import { closeDenied, joinSides, type Sides, switchProtocols } from "./tunnel/websocket.ts";
import type { RequestEvents, UpstreamConnection, UpstreamRequest } from "./upstream/connection.ts";
import { dial } from "./upstream/dial.ts";
import { messageFor } from "./upstream/message.ts";
import { type AbsoluteForm, blockedBy, proxyRefusal } from "./upstream/proxy.ts";

/** The guest's bare socket, when its request asked to leave HTTP. */
export interface Upgrade {
  readonly socket: Socket;
  /** What came after the request's head. */
  readonly rest: Buffer;
  /** Ends HTTP on the socket. */
  detach(): void;
}

/** May be sent again when the first attempt met a pooled socket that its upstream had just closed. */
const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export class Exchange implements Activity {
  readonly #services: Services;
  readonly #connection: Connection;
  readonly #client: Client;
  readonly #upgrade: Upgrade | undefined;
  readonly #generation: Generation;
  readonly #account: Account;
  #admission: Admission | undefined;
  #body: OutgoingBody | undefined;
  #framing: Framing | undefined;
  #request: UpstreamRequest | undefined;
  #relay: Relay | undefined;
  #dialling: AbortController | undefined;
  #tunnel: Splice | undefined;
  #refused = false;
  #done = false;

  constructor(services: Services, connection: Connection, client: Client, upgrade?: Upgrade) {
    this.#services = services;
    this.#account = new Account(services);
    this.#connection = connection;
    this.#client = client;
    this.#upgrade = upgrade;
    this.#generation = services.current;
  }

  run(): void {
    const { body, sink } = this.#client;
    body.on("error", () => {});
    sink.on("error", () => {});
    sink.on("finish", () => this.#sinkDone());
    sink.on("close", () => this.#sinkDone());
    this.#connection.begin(this);
    const admitted = admit(
      {
        client: this.#client,
        tunnel: this.#connection.tunnel,
        direct: this.#connection.direct,
        upgrading: this.#upgrade !== undefined,
      },
      this.#services,
      this.#generation,
    );
    if (!admitted.allow) {
      this.#refuse(admitted.refusal, admitted.subject);
      return;
    }
    this.#admission = admitted;
    this.#suspect(admitted, {});
    if (this.#client.hasBody(admitted.head)) this.#lookInto(admitted);
    else this.#reach(admitted, this.#upgrade === undefined);
  }

  /** Nothing goes to the upstream before the body may begin to. */
  #lookInto(admission: Admission): void {
    const { body } = this.#client;
    const outgoing = this.#generation.inspection.outgoing(body, admission, {
      received: (count) => this.#moved(count, 0),
      cleared: (framing) => {
        if (this.#done || this.#refused) return;
        this.#framing = framing;
        this.#reach(admission, true);
      },
      refused: (refusal) => this.#stop(refusal),
      masked: (findings) => this.#services.report.masked(findings, admission.subject),
      whole: (body) => {
        if (body !== undefined) this.#suspect(admission, { body });
        return admission.judgeBody?.(body);
      },
    });
    if ("allow" in outgoing) {
      this.#fail(outgoing);
      return;
    }
    this.#body = outgoing;
    // Only who has the body can judge it, so the client is not left to wait for the upstream's word.
    if (admission.head.expectsContinue) this.#client.proceed();
  }

  get grant(): string | undefined {
    return this.#admission?.route.grant?.id;
  }

  forbidden(why: Refusal): void {
    this.#cutShort(why);
  }

  get blocked(): boolean {
    return this.#client.sink.writableNeedDrain;
  }

  sweep(now: number): void {
    const { exchangeIdleMs, tunnelIdleMs } = this.#services.limits;
    const patience = this.#tunnel === undefined ? exchangeIdleMs : tunnelIdleMs;
    if (now - this.#account.progressAt <= patience) return;
    if (this.#tunnel !== undefined) this.#tunnel.destroy();
    else
      this.#fail(
        refuse("upstream-timeout", "nothing was sent or received for too long", "an answer in time"),
      );
  }

  spent(now: number): number {
    const { headMs, tunnelIdleMs, slowestUpload } = this.#services.limits;
    if (this.#tunnel !== undefined) return (now - this.#account.progressAt) / tunnelIdleMs;
    if (this.blocked) return (now - this.#account.progressAt) / headMs;
    if (this.#client.received) return 0;
    const { started, up } = this.#account;
    return (now - started - up / slowestUpload) / headMs;
  }

  giveWay(): void {
    if (this.#tunnel === undefined) {
      this.#client.closeAfter();
      this.#fail(refuse("overloaded", "others wait, and this request came too slowly", "send it at once"));
    } else this.#tunnel.destroy();
    // Its place is free at once, and not when its client has read that.
    this.#connection.end(this);
  }

  clientGone(): void {
    // A tunnel sees for itself how each of its sides ends.
    if (this.#tunnel !== undefined) return;
    this.#giveUp();
    this.#finish(false);
  }

  spoiled(refusal: Refusal): boolean {
    // The whole request is there: what makes no sense is something behind it.
    if (this.#client.received || this.#client.answering) return false;
    this.#client.closeAfter();
    this.#fail(refusal);
    return true;
  }

  /** Its end shows that the request is none. */
  unfit(refusal: Refusal): void {
    this.#stop(refusal);
  }

  #reach(admission: Admission, mayReuse: boolean): void {
    const { method } = this.#client;
    const { scheme, host } = admission.target;
    const path = shownPath(admission.subject.path ?? "");
    const { grant, credential } = admission.route;
    if (grant !== undefined && !this.#services.grants.use(grant.id)) {
      this.#fail(grantEnded());
      return;
    }
    const recorded = this.#services.clearance.of({ method, scheme, host, path, credential, grant });
    if (recorded === undefined) this.#connect(admission, mayReuse);
    else
      void recorded.then((refusal) => {
        if (refusal !== undefined) this.#fail(refusal);
        else if (!this.#done && !this.#refused) this.#connect(admission, mayReuse);
      });
  }

  /** Over a pooled socket when there is one, else over a new one. */
  #connect(admission: Admission, mayReuse: boolean): void {
    const { target, route } = admission;
    const { policy, pool } = this.#generation;
    const key = `${target.scheme}://${target.host} ${route.identity}`;
    const pooled = mayReuse ? pool.take(key) : undefined;
    if (pooled !== undefined) {
      this.#send(pooled, admission, true);
      return;
    }
    const { resolve, limits } = this.#services;
    const dialling = new AbortController();
    this.#dialling = dialling;
    const { signal } = dialling;
    void dial(target.scheme, target.host, route, { ...policy, resolve, limits, signal }).then((dialled) => {
      this.#dialling = undefined;
      if (!dialled.allow) {
        this.#fail(dialled);
      } else if (this.#done || this.#refused) {
        dialled.value.destroy();
      } else {
        this.#send(pool.adopt(key, dialled.value), admission, false);
      }
    });
  }

  #send(connection: UpstreamConnection, admission: Admission, reused: boolean): void {
    const { method } = this.#client;
    const outgoing = this.#body;
    const framing = this.#framing;
    const body = framing && { framing, decoded: outgoing?.decodes === true };
    const upgrading = this.#upgrade !== undefined;
    const { message, proxied } = messageFor(admission, this.#generation.policy, { method, body, upgrading });
    const again = reused && outgoing === undefined && REPEATABLE.has(method);
    const request = connection.ask(message, this.#heard(admission, proxied, again));
    if (request === undefined) {
      connection.destroy();
      this.#fail(refuse("request-malformed", "a header has characters that cannot be sent on", "HTTP"));
      return;
    }
    this.#request = request;
    this.#account.progressed();
    if (outgoing === undefined) request.end();
    else outgoing.sendTo(request);
  }

  /** @param again whether the request may be sent once more. */
  #heard(admission: Admission, proxied: AbsoluteForm | undefined, again: boolean): RequestEvents {
    return {
      head: (answer) => {
        const blocked =
          proxied !== undefined && answer.head.status === 407
            ? proxyRefusal(proxied.proxy, "407")
            : blockedBy(this.#generation.policy.proxy, answer);
        if (blocked === undefined) this.#answer(answer, admission);
        else this.#fail(blocked);
      },
      body: (bytes) => this.#relay?.push(bytes),
      caughtUp: () => this.#relay?.caughtUp(),
      end: (trailers) => this.#relay?.end(trailers),
      switched: (rawHeaders, socket, rest) => this.#switch(rawHeaders, socket, rest),
      drain: () => this.#body?.drained(),
      lost: (refusal, heard) => {
        if (this.#relay !== undefined) this.#breakOff();
        else if (again && !heard && !this.#done && !this.#refused) this.#connect(admission, false);
        else this.#fail(refusal);
      },
    };
  }

  #answer({ head, rawHeaders }: StatedAnswer, admission: Admission): void {
    const request = this.#request;
    if (this.#done || request === undefined) {
      request?.destroy();
      return;
    }
    this.#account.answerHeaders = rawHeaders;
    if (this.#services.stopping) this.#client.closeAfter();
    const { inspection } = this.#generation;
    this.#relay = new Relay(
      head,
      request,
      this.#client,
      (stated, events) => inspection.incoming(stated, admission, events),
      {
        flagged: (findings) => this.#flagged(findings),
        began: (status) => {
          this.#account.status = status;
          this.#moved(0, 0);
        },
        bytes: (count) => this.#moved(0, count),
        refused: (refusal) => this.#stop(refusal),
        broken: () => this.#breakOff(),
      },
    );
  }

  #switch(rawHeaders: readonly string[], upstream: Socket, rest: Buffer): void {
    const head = switchProtocols(rawHeaders);
    const admission = this.#admission;
    if (this.#upgrade === undefined || admission === undefined || head === undefined || this.#done) {
      upstream.destroy();
      const reason = "the upstream changed to a protocol that was not asked for";
      this.#fail(refuse("upstream-protocol", reason, "an upstream that speaks HTTP/1.1"));
      return;
    }
    const { socket, rest: early, detach } = this.#upgrade;
    detach();
    this.#account.status = 101;
    const sides: Sides = { guest: { socket, rest: early }, upstream: { socket: upstream, rest } };
    const messages = this.#generation.inspection.messages(admission, {
      masked: (findings) => this.#services.report.masked(findings, admission.subject),
      flagged: (findings) => this.#flagged(findings),
      refused: (refusal) => {
        this.#services.report.denied(refusal, admission.subject);
        closeDenied(sides, refusal, this.#services.limits.lingerMs);
      },
    });
    this.#tunnel = joinSides(sides, head, messages, {
      up: (count) => this.#moved(count, 0),
      down: (count) => this.#moved(0, count),
      closed: (clean) => this.#finish(clean),
    });
  }

  #suspect(admission: Admission, sent: Parameters<Inspection["suspect"]>[1]): void {
    for (const suspicion of this.#generation.inspection.suspect(admission, sent)) {
      this.#services.report.suspicious(suspicion, admission.subject);
    }
  }

  #flagged(findings: readonly Finding[]): void {
    if (this.#admission !== undefined) this.#services.report.flagged(findings, this.#admission.subject);
  }

  #moved(up: number, down: number): void {
    const refusal = this.#account.moved(up, down, this.grant);
    if (refusal !== undefined) this.#cutShort(refusal);
  }

  #cutShort(refusal: Refusal): void {
    if (this.#tunnel === undefined && !this.#client.answering) {
      this.#fail(refusal);
      return;
    }
    // There is no place left to say it in.
    this.#services.report.denied(refusal, this.#admission?.subject ?? { method: this.#client.method });
    if (this.#tunnel === undefined) this.#breakOff();
    else this.#tunnel.destroy();
  }

  /** What was found in it ends it; where it is too late for the guest to read why, the log still says it. */
  #stop(refusal: Refusal): void {
    const admission = this.#admission;
    if (admission !== undefined && this.#client.answering && !this.#done && !this.#refused)
      this.#services.report.denied(refusal, admission.subject);
    this.#fail(refusal);
  }

  /** Nothing, or not all, came from upstream: said for as long as it can be, else the client is cut off. */
  #fail(refusal: Refusal): void {
    if (this.#done || this.#refused) return;
    this.#giveUp();
    this.#dialling?.abort();
    if (this.#client.answering) this.#breakOff();
    else this.#refuse(refusal, this.#admission?.subject ?? { method: this.#client.method });
  }

  /** What comes from upstream is not wanted any more. */
  #giveUp(): void {
    this.#request?.destroy();
    this.#request = undefined;
    this.#relay?.destroy();
  }

  #breakOff(): void {
    if (this.#done) return;
    this.#giveUp();
    this.#client.reset();
    this.#finish(false);
  }

  #refuse(reason: Refusal, asked: Subject): void {
    this.#refused = true;
    this.#account.progressed();
    const { hush } = this.#generation.inspection;
    const refusal = hush.refusal(reason, asked);
    const subject = hush.subject(asked);
    this.#services.report.denied(refusal, subject);
    const { status, phrase, headers, body } = denialAnswer(
      refusal,
      subject,
      wantsText(this.#client.rawHeaders),
    );
    const bodyless = this.#client.method === "HEAD";
    try {
      this.#client.answer({ status, phrase, headers, bodyless, trailers: false });
      this.#client.end(bodyless ? undefined : body);
    } catch {
      // The client is gone already.
      this.#breakOff();
    }
  }

  #sinkDone(): void {
    if (this.#done) return;
    if (!this.#client.delivered) {
      this.clientGone();
      return;
    }
    // Whoever answers before the end of the request does not want the rest of it.
    if (this.#request?.ended === false) this.#request.destroy();
    this.#client.settle();
    this.#finish(true);
  }

  #finish(complete: boolean): void {
    if (this.#done) return;
    this.#done = true;
    this.#dialling?.abort();
    this.#connection.end(this);
    const admission = this.#admission;
    if (admission === undefined || this.#refused) return;
    const { up } = this.#account;
    if (up > 0) this.#suspect(admission, { bytes: up });
    this.#services.report.allowed(this.#account.closed(admission, this.#client.rawHeaders, complete));
  }
}
