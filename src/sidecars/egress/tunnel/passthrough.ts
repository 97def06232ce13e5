/**
 * Hosts whose TLS the operator exempted by name: the bytes go through unopened. What still holds: the host is
 * on the allow-list, the SNI names it, its addresses were checked, and the event says that nobody looked.
 */
import type { Socket } from "node:net";
import type { Activity, Connection } from "../accept/connection.ts";
import { frozen, type Refusal } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { Services } from "../services.ts";
import { dial } from "../upstream/dial.ts";
import { type Splice, splice } from "./splice.ts";

export interface PassThrough {
  /** Sends the client's first bytes, then everything else. */
  begin(first: Buffer): void;
  abandon(): void;
}

export interface PassThroughEvents {
  refused(refusal: Refusal): void;
  connected(tunnel: PassThrough): void;
}

export function passThrough(
  services: Services,
  connection: Connection,
  host: string,
  route: CompiledRoute,
  events: PassThroughEvents,
): void {
  const { resolve, limits, current } = services;
  const spent = current.policy.frozen ? frozen() : services.budget.admit(undefined);
  if (spent !== undefined) {
    // Its caller is not done with saying what to do then.
    queueMicrotask(() => events.refused(spent));
    return;
  }
  const activity = new PassedThrough(services, connection, host);
  connection.begin(activity);
  const recorded = services.clearance.of({
    method: "CONNECT",
    scheme: "https",
    host,
    path: "",
    credential: [],
  });
  const dialling = async (): ReturnType<typeof dial> =>
    (await recorded) ?? dial("tunnel", host, route, { ...current.policy, resolve, limits });
  void dialling().then((dialled) => {
    connection.end(activity);
    if (!dialled.allow) return events.refused(dialled);
    const upstream = dialled.value;
    if (connection.raw.destroyed) return void upstream.destroy();
    connection.raw.once("close", () => upstream.destroySoon());
    events.connected({
      begin: (first) => activity.begin(upstream, first),
      abandon: () => upstream.destroy(),
    });
  });
}

class PassedThrough implements Activity {
  readonly blocked = false;
  readonly #services: Services;
  readonly #connection: Connection;
  readonly #host: string;
  readonly #started = performance.now();
  #progressAt = this.#started;
  #splice: Splice | undefined;
  #up = 0;
  #down = 0;

  constructor(services: Services, connection: Connection, host: string) {
    this.#services = services;
    this.#connection = connection;
    this.#host = host;
  }

  begin(upstream: Socket, first: Buffer): void {
    const { raw } = this.#connection;
    this.#connection.begin(this);
    this.#progressAt = performance.now();
    this.#splice = splice(raw, upstream, {
      up: (bytes) => this.#moved(bytes, 0),
      down: (bytes) => this.#moved(0, bytes),
      closed: (clean) => this.#closed(clean),
    });
    raw.unshift(first);
    raw.resume();
  }

  sweep(now: number): void {
    if (now - this.#progressAt > this.#services.limits.tunnelIdleMs) this.#splice?.destroy();
  }

  spent(now: number): number {
    return this.#splice === undefined ? 0 : (now - this.#progressAt) / this.#services.limits.tunnelIdleMs;
  }

  giveWay(): void {
    this.#splice?.destroy();
  }

  clientGone(): void {}

  forbidden(): void {
    this.#splice?.destroy();
  }

  #moved(up: number, down: number): void {
    this.#up += up;
    this.#down += down;
    this.#progressAt = performance.now();
    const { budget, report } = this.#services;
    const spent = budget.moved(up, down);
    if (spent === undefined) return;
    report.denied(spent, { method: "CONNECT", scheme: "https", host: this.#host });
    this.#splice?.destroy();
  }

  #closed(complete: boolean): void {
    this.#connection.end(this);
    this.#services.report.allowed({
      method: "CONNECT",
      host: this.#host,
      path: "",
      via: "passthrough",
      status: 200,
      up: this.#up,
      down: this.#down,
      ms: Math.round(performance.now() - this.#started),
      credential: [],
      complete,
    });
  }
}
