/** An inbox with a log in memory, and what it did in the order in which it did it. */
import type { Allowed } from "../../src/approvals/allowed.ts";
import { approvalEvent, replay } from "../../src/approvals/ledger.ts";
import type { Route } from "../../src/contract/policy.ts";
import { createInbox, type Inbox, type InboxOptions } from "../../src/keeper/inbox.ts";

export interface TestInbox extends Inbox {
  /** Names of events as they were logged, `apply` and `tell`, in order. */
  readonly steps: readonly string[];
  readonly logged: readonly { readonly event: string; readonly data: Readonly<Record<string, unknown>> }[];
  /** Another keeper's, from what this one's log says. */
  again(): TestInbox;
}

export function route(host: string, more: Partial<Route> = {}): Route {
  return { host, matches: [], credentialHeaders: [], tls: "terminate", allowAddresses: [], ...more };
}

export const PLANNED: Allowed = {
  routes: [
    route("api.example.test", {
      matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/v1" }] }],
      auth: { header: "authorization", format: "Bearer {}", tokenRef: "API_TOKEN" },
    }),
  ],
  repos: [
    {
      name: "app",
      upstream: "/app.git",
      refs: [{ pattern: "refs/heads/bottle/b-00000/*", force: false, delete: false }],
    },
  ],
  findings: [],
  gitExceptions: [],
};

export function testInbox(options: Partial<InboxOptions> = {}): TestInbox {
  const steps: string[] = [];
  const logged: { event: string; data: Record<string, unknown> }[] = [];
  const append = async (event: string, data: unknown): Promise<never> => {
    steps.push(event);
    logged.push({ event, data: JSON.parse(JSON.stringify(data)) as Record<string, unknown> });
    return undefined as never;
  };
  const inbox = createInbox({
    bottle: "b-00000",
    log: { append, happened: append },
    planned: PLANNED,
    secrets: ["API_TOKEN"],
    ledger: replay([]),
    frozen: false,
    patienceMs: 60_000,
    apply: async () => void steps.push("apply"),
    tellAgent: async () => void steps.push("tell"),
    notify: () => {},
    ...options,
  });
  return Object.assign(Object.create(inbox) as Inbox, {
    steps,
    logged,
    again: () =>
      testInbox({
        ...options,
        ledger: replay(logged.flatMap(({ event, data }) => approvalEvent(event, data) ?? [])),
        frozen: inbox.state.frozen,
      }),
  });
}
