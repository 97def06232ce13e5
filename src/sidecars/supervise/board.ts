/** The bottle's requests as the keeper last told them, and who waits for an answer to one. */
import type { RequestView, SupervisePolicy } from "../../contract/approvals.ts";
import { createSteadyClock } from "../../lib/steady-clock.ts";

export interface Board {
  readonly policy: () => SupervisePolicy;
  /** By the keeper's clock. */
  readonly now: () => number;
  /** Replaces all of it; whoever waits for something that is settled now goes on. */
  replace(policy: SupervisePolicy): void;
  /** One request, newer than the policy. */
  put(view: RequestView): void;
  find(ticket: string): RequestView | undefined;
  /** The request once it is not pending any more; or as it is when the time is over, or nobody listens any more. */
  settled(ticket: string, milliseconds: number, signal: AbortSignal): Promise<RequestView | undefined>;
  readonly waiting: () => number;
  /** Nobody waits any longer. */
  release(): void;
}

export function createBoard(first: SupervisePolicy): Board {
  let policy = first;
  let clock = createSteadyClock(first.now);
  let views = byTicket(first);
  const waiters = new Set<{ readonly ticket: string; go(): void }>();

  const isPending = (ticket: string): boolean => views.get(ticket)?.status === "pending";
  const wake = (): void => {
    for (const waiter of waiters) if (!isPending(waiter.ticket)) waiter.go();
  };

  return {
    policy: () => policy,
    now: () => clock(),
    replace(next) {
      policy = next;
      clock = createSteadyClock(next.now);
      views = byTicket(next);
      wake();
    },
    put(view) {
      views.set(view.ticket, view);
      wake();
    },
    find: (ticket) => views.get(ticket),
    async settled(ticket, milliseconds, signal) {
      if (isPending(ticket) && milliseconds > 0 && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const go = (): void => {
            clearTimeout(timer);
            signal.removeEventListener("abort", go);
            waiters.delete(waiter);
            resolve();
          };
          const waiter = { ticket, go };
          const timer = setTimeout(go, milliseconds);
          signal.addEventListener("abort", go);
          waiters.add(waiter);
        });
      }
      return views.get(ticket);
    },
    waiting: () => waiters.size,
    release() {
      for (const waiter of waiters) waiter.go();
    },
  };
}

function byTicket({ requests }: SupervisePolicy): Map<string, RequestView> {
  return new Map(requests.map((view) => [view.ticket, view]));
}
