/**
 * The bottle's log as the keeper's parts write it. I8: the first line that cannot be written ends the bottle.
 * What a sidecar reports goes in under the sidecar's own name only, so that one that was taken over can say
 * false things of itself, and none of the keeper, the agent or the log.
 */
import { isEventName } from "../audit/entry.ts";
import { type AuditLog, openLog } from "../audit/log.ts";
import type { SidecarNotice } from "../bundle/bundle.ts";
import type { SidecarName } from "../contract/backend.ts";
import { homeOf } from "../lib/paths.ts";

/** @param onFailure called for every line that could not be written, before its append rejects. */
export async function openBottleLog(id: string, onFailure: (error: unknown) => void): Promise<AuditLog> {
  const log = await openLog({ home: homeOf(), bottle: id });
  return {
    bottle: log.bottle,
    path: log.path,
    get head() {
      return log.head;
    },
    async append(event, data) {
      try {
        return await log.append(event, data);
      } catch (error) {
        // A wrong name or value is the caller's mistake; the log is as it was.
        if (!(error instanceof TypeError)) onFailure(error);
        throw error;
      }
    },
    close: () => log.close(),
  };
}

/** What the keeper says of a sidecar, and the sidecar never of itself. */
const OF_THE_KEEPER = ["died", "failed-restart", "log", "misbehaved", "restarted"];

/** @throws UserError when it cannot be written. */
export async function recordNotice(log: AuditLog, name: SidecarName, notice: SidecarNotice): Promise<void> {
  switch (notice.kind) {
    case "message": {
      const { message } = notice;
      switch (message.type) {
        case "event":
          if (isOwnEvent(name, message.event)) await log.append(message.event, message.data);
          else await log.append(`${name}.misbehaved`, { event: message.event });
          return;
        case "log":
          await log.append(`${name}.log`, { level: message.level, text: message.text });
          return;
        case "ask":
          // One that may ask is answered by whoever started it.
          await log.append(`${name}.misbehaved`, { ask: message.ask });
          return;
      }
      return;
    }
    case "died":
      await log.append(`${name}.died`, { reason: notice.reason, restartInMs: notice.restartInMs ?? null });
      return;
    case "restarted":
      await log.append(`${name}.restarted`, {});
      return;
    case "failed-restart":
      await log.append(`${name}.failed-restart`, { reason: notice.reason });
      return;
  }
}

/** What a sidecar's own events begin with. */
const EVENT_PREFIX: Readonly<Record<SidecarName, string>> = {
  egress: "egress.",
  "git-gate": "git.",
  supervise: "supervise.",
  pipelock: "pipelock.",
};

function isOwnEvent(name: SidecarName, event: string): boolean {
  const prefix = EVENT_PREFIX[name];
  if (!isEventName(event) || !event.startsWith(prefix)) return false;
  return !OF_THE_KEEPER.includes(event.slice(prefix.length));
}
