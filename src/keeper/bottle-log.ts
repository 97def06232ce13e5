/**
 * The bottle's log as the keeper's parts write it. I8: the first line that cannot be written ends the bottle, or, where
 * its disk has no room, has it stand still (standstill.ts).
 * What a sidecar reports goes in under the sidecar's own name only, so that one that was taken over can say
 * false things of itself, and none of the keeper, the agent or the log.
 */
import { type Entry, isEventName } from "../audit/entry.ts";
import { type AuditLog, openLog } from "../audit/log.ts";
import type { SidecarNotice } from "../bundle/bundle.ts";
import type { SidecarName } from "../contract/backend.ts";
import { homeOf } from "../lib/paths.ts";

export interface LogTrouble {
  /** Called for every line that could not be written, before its append rejects. */
  readonly onFailure: (error: unknown) => void;
  /** Called when there is no room, for now. */
  readonly onLack: (lack: Error) => void;
}

export async function openBottleLog(
  id: string,
  { onFailure, onLack }: LogTrouble = { onFailure: () => {}, onLack: () => {} },
): Promise<AuditLog> {
  const log = await openLog({ home: homeOf(), bottle: id, onLack });
  const heard = async (writing: Promise<Entry>): Promise<Entry> => {
    try {
      return await writing;
    } catch (error) {
      // A wrong name or value is the caller's mistake, and a lack was told: the log is as it was.
      if (!(error instanceof TypeError) && log.lack === undefined) onFailure(error);
      throw error;
    }
  };
  return {
    bottle: log.bottle,
    path: log.path,
    get head() {
      return log.head;
    },
    get lack() {
      return log.lack;
    },
    append: (event, data) => heard(log.append(event, data)),
    happened: (event, data) => heard(log.happened(event, data)),
    retry: () => log.retry(),
    giveUp: () => log.giveUp(),
    close: () => log.close(),
  };
}

/** What the keeper says of a sidecar, and the sidecar never of itself. */
const OF_THE_KEEPER = ["died", "failed-restart", "log", "misbehaved", "restarted"];

/** It has happened: where there is no room it waits. @throws UserError when it cannot be written. */
export async function recordNotice(log: AuditLog, name: SidecarName, notice: SidecarNotice): Promise<void> {
  switch (notice.kind) {
    case "message": {
      const { message } = notice;
      switch (message.type) {
        case "event":
          if (isOwnEvent(name, message.event)) await log.happened(message.event, message.data);
          else await log.happened(`${name}.misbehaved`, { event: message.event });
          return;
        case "log":
          await log.happened(`${name}.log`, { level: message.level, text: message.text });
          return;
        case "ask":
          // One that may ask is answered by whoever started it.
          await log.happened(`${name}.misbehaved`, { ask: message.ask });
          return;
      }
      return;
    }
    case "died":
      await log.happened(`${name}.died`, { reason: notice.reason, restartInMs: notice.restartInMs ?? null });
      return;
    case "restarted":
      await log.happened(`${name}.restarted`, {});
      return;
    case "failed-restart":
      await log.happened(`${name}.failed-restart`, { reason: notice.reason });
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
