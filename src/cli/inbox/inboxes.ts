/** What waits in all running bottles, by asking the keeper of each; and one thing of it, by its ticket. */
import { bottlePaths, listBottleIds } from "../../keeper/bottle-record.ts";
import { type Keeper, tryConnectKeeper } from "../../keeper/control-client.ts";
import type { ActiveGrant, InboxView, Pending } from "../../keeper/inbox-protocol.ts";
import { messageOf, UserError } from "../../lib/errors.ts";

export interface BottleInbox {
  readonly keeper: Keeper;
  readonly view: InboxView;
}

export interface Inboxes {
  readonly inboxes: readonly BottleInbox[];
  /** Keepers that are there and did not answer: something may wait with them. */
  readonly unreached: readonly { readonly bottle: string; readonly reason: string }[];
}

/** One keeper that hangs holds up no other's answer. */
export async function readInboxes(): Promise<Inboxes> {
  const inboxes: BottleInbox[] = [];
  const unreached: { bottle: string; reason: string }[] = [];
  await Promise.all(
    (await listBottleIds()).map(async (id) => {
      try {
        const keeper = await tryConnectKeeper(bottlePaths(id), id);
        if (keeper !== undefined) inboxes.push({ keeper, view: await keeper.inbox() });
      } catch (error) {
        unreached.push({ bottle: id, reason: messageOf(error) });
      }
    }),
  );
  const byBottle = (a: BottleInbox, b: BottleInbox): number => (a.view.bottle < b.view.bottle ? -1 : 1);
  return { inboxes: inboxes.sort(byBottle), unreached };
}

/** Fewer say nothing, and what is typed out of habit should not name anything. */
const SHORTEST_PREFIX = 4;

export type Ticketed = BottleInbox &
  (
    | { readonly kind: "pending"; readonly pending: Pending }
    | { readonly kind: "grant"; readonly grant: ActiveGrant }
  );

/** @param prefix a ticket, or as much of its beginning as no other has. @throws UserError for none, or several. */
export async function findTicket(prefix: string): Promise<Ticketed> {
  if (!/^[0-9a-f]{4,32}$/.test(prefix)) {
    throw new UserError(`a ticket is 32 hex digits; name it, or at least ${SHORTEST_PREFIX} of its first`, {
      hint: "bottle inbox",
      exitCode: 2,
    });
  }
  const { inboxes, unreached } = await readInboxes();
  const found = inboxes.flatMap((inbox): readonly Ticketed[] => [
    ...inbox.view.pending.map((pending) => ({ ...inbox, kind: "pending" as const, pending })),
    ...inbox.view.grants.map((grant) => ({ ...inbox, kind: "grant" as const, grant })),
  ]);
  const matching = found.filter((each) => ticketOf(each).startsWith(prefix));
  const [only, ...others] = matching;
  if (only === undefined) {
    const silent = unreached.map(({ bottle }) => bottle);
    const besides = silent.length === 0 ? "" : `; of ${silent.join(", ")} it is not known`;
    throw new UserError(`nothing waits, and no grant is in force, with the ticket ${prefix}${besides}`, {
      hint: "bottle inbox",
    });
  }
  if (others.length > 0) {
    throw new UserError(`${prefix} begins ${matching.map(ticketOf).join(" and ")}: name more of it`, {
      exitCode: 2,
    });
  }
  return only;
}

/** @throws UserError when it is a grant: that one was answered. */
export async function findPending(prefix: string): Promise<BottleInbox & { readonly pending: Pending }> {
  const found = await findTicket(prefix);
  if (found.kind === "pending") return found;
  throw new UserError(`${prefix} was approved already`, {
    hint: `bottle inbox revoke ${prefix} takes it back`,
  });
}

function ticketOf(found: Ticketed): string {
  return found.kind === "pending" ? found.pending.ticket : found.grant.ticket;
}

const SHORT_TICKET = 8;

/** How many digits of each are shown, so that each can be named by what is shown of it. */
export function shownDigits(tickets: readonly string[]): number {
  for (let digits = SHORT_TICKET; ; digits++) {
    if (new Set(tickets.map((ticket) => ticket.slice(0, digits))).size === tickets.length) return digits;
    if (digits >= 32) return digits;
  }
}
