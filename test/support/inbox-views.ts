/** Inbox views for tests that need no keeper. */
import type { ActiveGrant, InboxView, Pending } from "../../src/keeper/inbox-protocol.ts";

export const NOW = Date.UTC(2030, 0, 1);

export function ticketOf(number: number): string {
  // Spread, so that their first digits differ.
  return ((number * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, "0").padEnd(32, "0");
}

export function pendingOf(number: number, change: Partial<Pending & { kind: "request" }> = {}): Pending {
  return {
    kind: "request",
    ticket: ticketOf(number),
    ask: { kind: "host", host: `h${number}.test`, methods: ["GET"], paths: [] },
    justification: "because",
    changes: [],
    described: [`GET h${number}.test/*`],
    digest: `d${number}`,
    at: NOW + number,
    deadline: NOW + 900_000,
    ...change,
  };
}

export function grantOf(number: number): ActiveGrant {
  return {
    ticket: ticketOf(number),
    ask: { kind: "host", host: `h${number}.test`, methods: ["GET"], paths: [] },
    described: [`GET h${number}.test/*`],
    by: "me",
    at: NOW,
    expiresAt: NOW + 3_600_000,
    usesLeft: null,
    bytesLeft: null,
  };
}

export function viewOf(bottle: string, change: Partial<InboxView> = {}): InboxView {
  return { bottle, agent: "worker", frozen: false, now: NOW, pending: [], grants: [], ...change };
}
