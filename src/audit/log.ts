/**
 * The log of one bottle, as its one writer sees it. Protects I8: an append resolves only when its line is
 * on the disk, and when one line could not be written, it and every later append rejects: for as long as the
 * process lives, or, where the disk had no room, until somebody says that it has. Whoever asks for a decision to
 * be recorded takes that rejection for a no, and it is never written afterwards.
 *
 * Nothing here reads the environment or adds to what it is given: a secret gets in only by a caller's hand.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { isBottleId } from "../lib/names.ts";
import type { Home } from "../lib/paths.ts";
import { boundedData, type EventData } from "./bounded-data.ts";
import { chain, type Entry, genesis, type Head, isEventName, OWN_EVENTS } from "./entry.ts";
import { HEAD_EVENT, HEAD_EVERY, type Place, signedHead } from "./head.ts";
import { type HostKey, hostKey } from "./host-key.ts";
import { createLogWriter, type Patience } from "./log-writer.ts";
import { type Past, recover } from "./recover.ts";
import { claimWriting } from "./writer-mark.ts";

export interface AuditLog {
  readonly bottle: string;
  readonly path: string;
  /** The last line that is on the disk. After {@link close} the closing head: worth keeping elsewhere. */
  readonly head: Head;
  /**
   * Records that `event` happened (dotted, lower case, not `log.*`). Resolves once it is on the disk, with
   * the line as written: `data` cut to size, see bounded-data.ts.
   * @throws UserError when it cannot be written, and then for ever, or as long as there is a {@link lack};
   *   TypeError for an event name or data that is none, which leaves the log as it was.
   */
  append(event: string, data: Readonly<Record<string, unknown>>): Promise<Entry>;
  /** The same for what cannot be refused any more, since it has happened: while there is a lack it waits. */
  happened(event: string, data: Readonly<Record<string, unknown>>): Promise<Entry>;
  /** Why nothing can be written at the moment: its disk is full, or lets nobody write. */
  readonly lack: Error | undefined;
  /** Writes what waits. @throws UserError when there still is no room. */
  retry(): Promise<void>;
  /** The bottle ends: what waits is tried once more, and from now on a lack is for ever too. */
  giveUp(): Promise<void>;
  /**
   * Writes the closing head and lets go of the file. Later calls get the same promise.
   * @throws UserError when the log could not be written to its end; the file is let go of all the same.
   */
  close(): Promise<void>;
}

/** Where `bottle`'s log is. */
export function logPath(home: Home, bottle: string): string {
  return join(home.audit, `${bottle}.jsonl`);
}

/** Lines waiting for a disk that does not keep up; beyond it the answer is no, at once. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/**
 * Opens `bottle`'s log for its one writer: makes it, or verifies what is there and continues it. What a
 * crash left of a last line is cut off and recorded as `log.recovered`; anything else wrong is refused.
 * @throws UserError when another process writes it, when it is broken, or when it cannot be written.
 */
export async function openLog(options: {
  readonly home: Home;
  readonly bottle: string;
  /** Told of each lack of room. */
  readonly onLack?: (lack: Error) => void;
}): Promise<AuditLog> {
  const { home, bottle, onLack = () => {} } = options;
  if (!isBottleId(bottle)) throw new TypeError(`${JSON.stringify(bottle)} is not a bottle's id`);
  const path = logPath(home, bottle);
  const explain = (cause: unknown): UserError =>
    new UserError(`the audit log ${path} cannot be written: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "free space there, or set BOT_BOTTLE_HOME to a directory you can write; nothing is allowed unrecorded",
      cause,
    });
  let file: FileHandle | undefined;
  let release: (() => Promise<void>) | undefined;
  try {
    const key = await hostKey(home.audit);
    release = await claimWriting(home.audit, bottle);
    const { file: opened, isNew } = await openFile(path);
    file = opened;
    const past = isNew ? undefined : await recover(file, path, bottle, key);
    return await beginLog({ path, bottle, key, file, explain, onLack, release }, past);
  } catch (cause) {
    await file?.close();
    await release?.();
    throw cause instanceof UserError ? cause : explain(cause);
  }
}

async function openFile(path: string): Promise<{ readonly file: FileHandle; readonly isNew: boolean }> {
  // Nonblocking, since a pipe at that place would make the open wait for ever.
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const file = await open(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
    await syncDirectory(dirname(path));
    return { file, isNew: true };
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    return { file: await open(path, flags), isNew: false };
  }
}

/** Without it a new file's name may be lost with the power, whatever was synced into the file. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

interface Parts {
  readonly path: string;
  readonly bottle: string;
  readonly key: HostKey;
  readonly file: FileHandle;
  readonly explain: (cause: unknown) => UserError;
  readonly onLack: (lack: Error) => void;
  /** Gives the right to write back. */
  readonly release: () => Promise<void>;
}

async function beginLog(
  { path, bottle, key, file, explain, onLack, release }: Parts,
  past: Past | undefined,
): Promise<AuditLog> {
  /** The chain's end, with the lines still on their way; and as far as it is on the disk. */
  let last: Head = past?.state.head ?? { seq: 0, hash: genesis(bottle) };
  let written = last;
  let sinceHead = past?.state.sinceHead ?? 0;
  let closing: Promise<void> | undefined;

  const rewind = (): void => {
    last = written;
  };
  const writer = createLogWriter(file, path, { explain, rewind, onLack });

  async function put(event: string, dataAt: (place: Place) => EventData, patience: Patience): Promise<Entry> {
    const time = new Date().toISOString();
    let entry: Entry | undefined;
    const compose = (): string => {
      const place = { seq: last.seq + 1, prev: last.hash, time };
      const chained = chain({ ...place, event, data: dataAt(place) });
      entry = chained.entry;
      last = { seq: entry.seq, hash: entry.hash };
      return chained.line;
    };
    await writer.write(compose, patience);
    if (entry === undefined) throw new Error("a line that was not composed was written");
    written = { seq: entry.seq, hash: entry.hash };
    return entry;
  }

  function seal(isClosing: boolean, patience: Patience = "refused"): Promise<Entry> {
    sinceHead = 0;
    return put(HEAD_EVENT, (place) => signedHead(key, bottle, isClosing, place), patience);
  }

  function record(event: string, data: EventData, patience: Patience = "refused"): Promise<Entry> {
    const recorded = put(event, () => data, patience);
    sinceHead++;
    // Nobody waits for a head; its failure is the writer's, and the next append is told.
    if (sinceHead >= HEAD_EVERY) seal(false, "waits").catch(() => {});
    return recorded;
  }

  async function take(
    event: string,
    data: Readonly<Record<string, unknown>>,
    patience: Patience,
  ): Promise<Entry> {
    if (writer.failure !== undefined) throw writer.failure;
    if (closing !== undefined) {
      throw new UserError(`the audit log ${path} is closed`, { hint: "the bottle has ended" });
    }
    if (!isEventName(event) || event.startsWith(OWN_EVENTS)) {
      throw new TypeError(`${JSON.stringify(event)} is no event's name`);
    }
    const bounded = boundedData(data);
    if (writer.waitingBytes > MAX_WAITING_BYTES) {
      throw new UserError(`the audit log ${path} cannot keep up`, {
        hint: "its disk is too slow, or stuck",
      });
    }
    return record(event, bounded, patience);
  }

  async function end(): Promise<void> {
    try {
      await writer.giveUp();
      await seal(true);
    } finally {
      await writer.close().finally(release);
    }
  }

  // A crash may have fallen between the 64th line and its head.
  if (sinceHead >= HEAD_EVERY) await seal(false);
  if (last.seq === 0) await record("log.opened", { bottle, format: 1, key: key.fingerprint });
  else await record("log.resumed", { closed: past?.state.closed ?? false, key: key.fingerprint });
  if (past?.recovered !== undefined) await record("log.recovered", past.recovered);

  return {
    bottle,
    path,
    get head() {
      return written;
    },
    append: (event, data) => take(event, data, "refused"),
    happened: (event, data) => take(event, data, "waits"),
    get lack() {
      return writer.lack;
    },
    retry: () => writer.retry(),
    giveUp: () => writer.giveUp(),
    close() {
      closing ??= end();
      return closing;
    },
  };
}
