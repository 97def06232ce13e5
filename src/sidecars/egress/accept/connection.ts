/**
 * One connection from the guest, from accept to close: what it is waiting for, and since when. All bounds on
 * waiting are kept by one clock that looks at every connection, instead of by timers that can be forgotten.
 */
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Refusal } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { TunnelTarget } from "../target/target.ts";
import { connectionsFor, openFiles } from "./open-files.ts";

/** Something that is being done on a connection: an exchange, a tunnel. It bounds itself. */
export interface Activity {
  /** True while the client has to take what it was sent before it gets more. */
  readonly blocked: boolean;
  /** Ends it when it has made no progress for too long. */
  sweep(now: number): void;
  /** The connection is gone. */
  clientGone(): void;
  /** On what it hangs. */
  readonly grant?: string | undefined;
  /** What allowed it is no more. */
  forbidden?(why: Refusal): void;
  /** What came of its request makes no sense. False when it cannot answer that, and the connection must go. */
  spoiled?(refusal: Refusal): boolean;
  /** The share of its patience with the client that is used up; 0 while somebody else is waited for. */
  spent?(now: number): number;
  /** Ends it, so that another has room. */
  giveWay?(): void;
}

/** What a connection without an activity is doing. */
export type Phase =
  /** HTTP/1: waiting for a request. */
  | "head"
  /** After CONNECT: waiting for TLS to be set up. */
  | "handshake"
  /** HTTP/2: waiting for a stream. */
  | "streams"
  /** Everything is said; waiting for the client to hang up. */
  | "closing";

/** The tunnel a connection is, once it was opened by CONNECT. */
export interface Tunnel extends TunnelTarget {
  /** Every request in it gets this answer. */
  readonly refusal: Refusal | undefined;
}

export class Connection {
  readonly raw: Socket;
  /** From a program that knows no proxy and took egress for the host itself. */
  readonly direct: boolean;
  tunnel: Tunnel | undefined;
  session: ServerHttp2Session | undefined;
  /** Looks at what only shows from time to time. */
  onSweep: (() => void) | undefined;
  readonly activities = new Set<Activity>();
  #phase: Phase = "head";
  #since = performance.now();
  #bytesBefore = 0;
  #headSince: number | undefined;
  #hasServed = false;
  /** How long nothing has come from an HTTP/2 client. */
  #quiet = { bytesRead: -1, since: 0, pinged: false };
  #stopping = false;
  readonly #all: Connections;

  constructor(raw: Socket, direct: boolean, all: Connections) {
    this.raw = raw;
    this.direct = direct;
    this.#all = all;
  }

  enter(phase: Phase): void {
    this.#phase = phase;
    this.#since = performance.now();
    this.#bytesBefore = this.raw.bytesRead;
    this.#headSince = undefined;
  }

  begin(activity: Activity): void {
    this.activities.add(activity);
    this.#all.begun();
  }

  end(activity: Activity): void {
    if (!this.activities.delete(activity)) return;
    this.#all.active -= 1;
    this.#hasServed = true;
    if (this.activities.size > 0) return;
    this.enter(this.#stopping ? "closing" : this.#phase);
  }

  /** Serves what is in progress and nothing else. */
  stop(): void {
    this.#stopping = true;
    this.session?.close();
    if (this.activities.size === 0) this.raw.destroy();
  }

  /** Breaks off in a way that no client takes for a regular end, where the transport has one. */
  reset(): void {
    try {
      this.raw.resetAndDestroy();
    } catch {
      // Not TCP.
      this.raw.destroy();
    }
  }

  sweep(now: number, limits: Limits): void {
    this.onSweep?.();
    if (this.session !== undefined) this.#probe(this.session, now, limits.pingMs);
    if (this.activities.size > 0) {
      for (const activity of [...this.activities]) activity.sweep(now);
      return;
    }
    const unasked = this.raw.bytesRead - this.#bytesBefore;
    const flooded =
      // The rest of a request that was refused, and no end of it.
      (this.#phase === "head" && unasked > limits.discardedBytes) ||
      // HTTP/2 about nothing but itself: each such frame is understood, and answered.
      (this.#phase === "streams" && unasked > limits.controlBytes);
    if (flooded || now - this.#since > this.#patience(now, limits)) this.raw.destroy();
  }

  /**
   * How little is lost without it: the share of its patience that is used up, 0 while something is being done on it. Who has
   * never asked for anything is given no more than it takes to ask.
   */
  spent(now: number, limits: Limits): number {
    if (this.activities.size > 0) return 0;
    const patience = this.#patience(now, limits);
    return (now - this.#since) / (this.#hasServed ? patience : Math.min(patience, limits.headMs));
  }

  /**
   * After a client's protocol error node's HTTP/2 neither reads nor writes any more, and says nothing: the
   * connection and its streams would stay for ever. A client that is slow to read is another matter.
   */
  #probe(session: ServerHttp2Session, now: number, pingMs: number): void {
    const { bytesRead } = this.raw;
    const isSlow = [...this.activities].some((activity) => activity.blocked);
    if (bytesRead !== this.#quiet.bytesRead || isSlow) {
      this.#quiet = { bytesRead, since: now, pinged: false };
    } else if (now - this.#quiet.since > pingMs) {
      const unanswered = this.#quiet.pinged || session.destroyed || !session.ping(() => {});
      if (unanswered) this.raw.destroy();
      this.#quiet = { bytesRead, since: now, pinged: true };
    }
  }

  #patience(now: number, limits: Limits): number {
    switch (this.#phase) {
      case "handshake":
        return limits.handshakeMs;
      case "closing":
        return limits.lingerMs;
      case "streams":
        return limits.idleMs;
      case "head":
        if (this.raw.bytesRead === this.#bytesBefore) return limits.idleMs;
        this.#headSince ??= now;
        return this.#headSince - this.#since + limits.headMs;
    }
  }
}

/** Only who has used up this share of its patience gives way to another request. */
const DISPENSABLE = 0.01;

/**
 * All connections there are. At their limit, and at that of requests in progress, whoever keeps egress waiting for longest
 * gives way: a crowd that opens connections and says nothing, or says it a byte at a time, keeps nobody out.
 */
export class Connections {
  /** Activities on all of them. */
  active = 0;
  onOpen: (() => void) | undefined;
  readonly #all = new Set<Connection>();
  readonly #limits: Limits;
  readonly #most: number;

  constructor(limits: Limits, files: number = openFiles()) {
    this.#limits = limits;
    this.#most = Math.min(limits.connections, connectionsFor(files, limits));
  }

  /** Undefined, and the socket closed, when there are too many that are all in use. */
  open(raw: Socket, direct: boolean): Connection | undefined {
    if (this.#all.size >= this.#most && !this.#makeRoom()) {
      raw.destroy();
      return undefined;
    }
    const connection = new Connection(raw, direct, this);
    this.#all.add(connection);
    this.onOpen?.();
    raw.once("close", () => {
      this.#all.delete(connection);
      connection.onSweep?.();
      for (const activity of [...connection.activities]) activity.clientGone();
    });
    return connection;
  }

  get size(): number {
    return this.#all.size;
  }

  /** One more activity: for it to be served, another may have to go. */
  begun(): void {
    this.active += 1;
    if (this.active <= this.#limits.exchanges) return;
    const now = performance.now();
    let most = DISPENSABLE;
    let slowest: Activity | undefined;
    for (const { activities } of this.#all) {
      for (const activity of activities) {
        const spent = activity.spent?.(now) ?? 0;
        if (spent > most) [most, slowest] = [spent, activity];
      }
    }
    slowest?.giveWay?.();
  }

  sweep(now: number): void {
    for (const connection of this.#all) connection.sweep(now, this.#limits);
  }

  /** Ends what hangs on a grant that was taken back, has run out or is used up. */
  endUngranted(holds: (grant: string) => boolean, why: Refusal): void {
    for (const { activities } of this.#all) {
      for (const activity of [...activities]) {
        if (activity.grant !== undefined && !holds(activity.grant)) activity.forbidden?.(why);
      }
    }
  }

  /** Ends everything that is under way, and every tunnel in which more could come. */
  endAll(why: Refusal): void {
    for (const connection of [...this.#all]) {
      for (const activity of [...connection.activities]) activity.forbidden?.(why);
      connection.raw.destroySoon();
    }
  }

  stop(): void {
    for (const connection of this.#all) connection.stop();
  }

  destroy(): void {
    for (const connection of this.#all) connection.raw.destroy();
  }

  #makeRoom(): boolean {
    const now = performance.now();
    let most = 0;
    let idlest: Connection | undefined;
    for (const connection of this.#all) {
      const spent = connection.spent(now, this.#limits);
      if (spent > most) [most, idlest] = [spent, connection];
    }
    if (idlest === undefined) return false;
    this.#all.delete(idlest);
    idlest.raw.destroy();
    return true;
  }
}
