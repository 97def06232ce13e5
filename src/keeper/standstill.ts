/**
 * When a bottle stands still: as long as an operator has frozen it, and as long as there is no room to record what it
 * does (I8). Sidecars let nothing out then, what was under way is cut, and the guest runs no instruction, so that an
 * agent that has filled the disk cannot go on filling it. Only an operator ends it, also where room comes by itself:
 * whoever frees some wants it for himself first, and a bottle that took each megabyte at once would leave him none.
 */
import type { AuditLog } from "../audit/log.ts";
import type { KeptSidecar } from "../bundle/bundle.ts";
import type { Guest, SidecarName } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { homeOf } from "../lib/paths.ts";
import { roomIn } from "./reservation.ts";

export interface Standstill {
  /** Why nothing can be recorded for now. */
  readonly lack: UserError | undefined;
  /** The bottle is up: what was no room for ends it no more, and has it stand still. */
  begin(): void;
  /** Told by whoever found no room. */
  lacks(cause: unknown): void;
  /** Brings sidecars and guest to what is wanted now. @throws what would not have it. */
  apply(): Promise<void>;
  /** There is room again, says `by`. @throws UserError when there is not. */
  restore(by: string): Promise<void>;
  /** The bottle ends: its guest is let go, and from now on what cannot be written fails. */
  end(): Promise<void>;
}

export interface StandstillParts {
  readonly id: string;
  readonly log: AuditLog;
  /** Whether it was frozen by a decision. */
  readonly isFrozen: () => boolean;
  readonly sidecars: readonly KeptSidecar[];
  /** Undefined before it boots. */
  readonly guest: () => Promise<Guest> | undefined;
  /** Whoever can still be told is told; undefined: that it goes on. */
  readonly tell: (lack: string | undefined) => void;
  /** It can neither go on nor be stopped. */
  readonly failed: (error: unknown) => void;
}

/** With less, a bottle that goes on would stand still again with its next words. */
const MIN_ROOM_BYTES = 16 * 1024 * 1024;

export function createStandstill(parts: StandstillParts): Standstill {
  const { id, log, sidecars, guest, failed } = parts;
  let lack: UserError | undefined;
  let phase: "launching" | "up" | "ending" = "launching";
  /** "between" is what could not be stopped as a whole: some of it may stand still. */
  let guestIs: "running" | "between" | "stopped" = "running";
  let tail: Promise<unknown> = Promise.resolve();

  const frozen = (message: string): UserError =>
    new UserError(message, {
      hint: `make room there, then: bottle thaw ${id}. bottle stop ${id} ends it and keeps its work`,
    });
  const isWanted = (): boolean => phase !== "ending" && (lack !== undefined || parts.isFrozen());

  /** Not every backend takes it twice: an engine refuses to let on what was not stopped. */
  async function moveGuest(): Promise<void> {
    const { freezer } = (await guest()?.catch(() => undefined)) ?? {};
    const wanted = isWanted() ? "stopped" : "running";
    if (freezer === undefined || wanted === guestIs) return;
    if (wanted === "stopped") {
      guestIs = "between";
      await freezer.freeze();
    } else {
      await freezer.thaw().catch((error: unknown) => {
        // Of what was never wholly stopped nothing may be there to be let go.
        if (guestIs === "stopped") throw error;
      });
    }
    guestIs = wanted;
  }

  function inTurn(step: () => Promise<void>): Promise<void> {
    const done = tail.then(step);
    tail = done.catch(() => {});
    return done;
  }

  const tellSidecars = (): Promise<void> => refresh(sidecars, (name) => name !== "supervise");

  function apply(): Promise<void> {
    return inTurn(async () => {
      try {
        await tellSidecars();
      } finally {
        // Last: what it was doing has nowhere to go by now.
        await moveGuest();
      }
    });
  }

  /** First the guest: it is what takes the room. A sidecar that will not have it is ended, and has it when it starts. */
  function halt(): void {
    inTurn(async () => {
      await moveGuest();
      await tellSidecars().catch(() => {});
    }).catch(failed);
  }

  return {
    get lack() {
      return lack;
    },
    begin() {
      phase = "up";
    },
    lacks(cause) {
      if (lack !== undefined || phase === "ending") return;
      const why = messageOf(cause);
      // What is being made is undone, and not kept half-made.
      if (phase === "launching") return failed(cause);
      lack = frozen(`bottle ${id} is frozen: ${why}`);
      log.happened("bottle.out-of-room", { reason: why }).catch(() => {});
      halt();
      parts.tell(lack.message);
    },
    apply,
    async restore(by) {
      if (lack === undefined) return;
      const { root } = homeOf();
      const room = await roomIn(root);
      if (room < MIN_ROOM_BYTES) {
        const [has, needs] = [room, MIN_ROOM_BYTES].map((bytes) => Math.floor(bytes / 1024 / 1024));
        throw frozen(`bottle ${id} stays frozen: ${root} has ${has} MiB free, and it needs ${needs}`);
      }
      try {
        await log.retry();
        await log.append("bottle.has-room", { by });
      } catch (error) {
        throw frozen(`bottle ${id} stays frozen: ${messageOf(error)}`);
      }
      lack = undefined;
      await apply();
      parts.tell(undefined);
    },
    async end() {
      phase = "ending";
      await log.giveUp();
      await inTurn(moveGuest).catch(() => {});
    },
  };
}

/** Each to its end: one that will not have it must not keep another from what was taken back. */
export async function refresh(
  sidecars: readonly KeptSidecar[],
  wanted: (name: SidecarName) => boolean,
): Promise<void> {
  const told = await Promise.allSettled(
    sidecars.filter(({ name }) => wanted(name)).map((sidecar) => sidecar.refresh()),
  );
  for (const each of told) if (each.status === "rejected") throw each.reason;
}
