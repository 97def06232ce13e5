/** The inboxes of all running bottles as they change, also of bottles that start or end meanwhile. */
import { type FSWatcher, watch } from "node:fs";
import { bottlePaths, listBottleIds } from "../../keeper/bottle-record.ts";
import { type InboxWatch, type Keeper, tryConnectKeeper } from "../../keeper/control-client.ts";
import type { InboxView } from "../../keeper/inbox-protocol.ts";
import { homeOf, runtimeDir } from "../../lib/paths.ts";

export interface Following {
  /** The first view of a bottle, and each after it. */
  onView(view: InboxView, keeper: Keeper): void;
  /** It has ended, or its keeper was killed. */
  onGone(bottle: string): void;
}

/** Between looks for new bottles: their folders tell sooner, but a keeper listens a while after its folder is there. */
const LOOK_MS = 1_000;

export function followInboxes({ onView, onGone }: Following): { close(): void } {
  const followed = new Map<string, InboxWatch | undefined>();
  let closed = false;
  let looking = false;

  async function follow(id: string): Promise<void> {
    followed.set(id, undefined);
    const keeper = await tryConnectKeeper(bottlePaths(id), id).catch(() => undefined);
    if (keeper === undefined || closed) {
      followed.delete(id);
      return;
    }
    let wasSeen = false;
    const watching = keeper.watchInbox((view) => {
      if (closed) return;
      wasSeen = true;
      onView(view, keeper);
    });
    followed.set(id, watching);
    await watching.ended;
    followed.delete(id);
    if (wasSeen && !closed) onGone(id);
  }

  async function look(): Promise<void> {
    if (looking || closed) return;
    looking = true;
    try {
      for (const id of await listBottleIds()) if (!followed.has(id)) void follow(id).catch(() => {});
    } catch {
      // The folder of bottles cannot be read just now; the next look is soon.
    } finally {
      looking = false;
    }
  }

  const folders = [homeOf().state, runtimeDir()].flatMap((folder) => watched(folder, () => void look()));
  const timer = setInterval(() => void look(), LOOK_MS);
  void look();
  return {
    close() {
      closed = true;
      clearInterval(timer);
      for (const folder of folders) folder.close();
      for (const watching of followed.values()) watching?.close();
    },
  };
}

/** None for a folder that is not there yet: {@link LOOK_MS} finds what comes. */
function watched(folder: string, onChange: () => void): readonly FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onChange);
    watcher.on("error", () => {});
    return [watcher];
  } catch {
    return [];
  }
}
