/** What one exchange has moved, and since when nothing: held against the bottle's budget and the exchange's grant as it moves, and told at its end. */
import { type Refusal, refuse, shownPath } from "./denial.ts";
import type { Allowed } from "./events.ts";
import type { Admission } from "./pipeline.ts";
import type { Services } from "./services.ts";

export class Account {
  readonly started = performance.now();
  progressAt = this.started;
  up = 0;
  down = 0;
  /** The upstream's; 0 before there is one. */
  status = 0;
  /** Flat: name, value. */
  answerHeaders: readonly string[] = [];
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  progressed(): void {
    this.progressAt = performance.now();
  }

  /** @returns why it may go no further. */
  moved(up: number, down: number, grant: string | undefined): Refusal | undefined {
    this.up += up;
    this.down += down;
    this.progressed();
    if (grant !== undefined) {
      const { grants } = this.#services;
      grants.moved(grant, up + down);
      if (!grants.holds(grant)) return grantEnded();
    }
    return this.#services.budget.moved(up, down);
  }

  /** @param headers the guest's, flat: name, value. */
  closed({ target, subject, route }: Admission, headers: readonly string[], complete: boolean): Allowed {
    const { status, up, down, answerHeaders } = this;
    return {
      method: subject.method,
      host: target.host,
      path: shownPath(subject.path ?? ""),
      via: status === 101 ? "websocket" : "http",
      ...{ status, up, down },
      ms: Math.round(performance.now() - this.started),
      credential: route.credential,
      ...(route.grant !== undefined && { grant: route.grant.id }),
      complete,
      ...{ headers, answerHeaders },
    };
  }
}

export function grantEnded(): Refusal {
  return refuse(
    "grant-ended",
    "what the operator had allowed for a while has run out, is used up or was taken back",
    "a grant that lasts",
  );
}
