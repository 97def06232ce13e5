/**
 * How much a connection keeps of what its guest has not heard, and of what nobody has read of it. The SSH library writes
 * whatever a channel's window allows, which is the guest's to say, and answers whatever is asked, and looks at nobody who
 * reads: a guest that asks and does not listen would have all of it kept here. So writers wait until there is room, and
 * one that has answers pile up is cut off. And it opens every channel's window wide: a guest that opens many, and has them
 * all wait for a slow server, would have that kept as often.
 */
import type { Duplex } from "node:stream";
import type { Client } from "ssh2";

export interface Room {
  /** Calls back once something more may be written: those that wait in the order in which they came. */
  readonly write: (go: () => void) => void;
  /** To be called when a stream has been given more: where all of them hold too much, that which holds the most ends. */
  readonly read: (stream: Held) => void;
  /** Those that are counted, each until it is taken out. */
  readonly streams: Set<Held>;
}

/** A stream of the guest's, as far as it is kept here. */
export interface Held {
  readonly unreadBytes: () => number;
  readonly cutOff: () => void;
}

/** Above what writers who wait leave, were a window opened to all that may be served: a piece of each. */
const MAX_UNHEARD_BYTES = 48 * 1024 * 1024;
/** Of which an honest guest leaves a few open. One that it makes the library ask may hold a packet full of keys. */
const MAX_QUESTIONS = 100;
/** Of all streams together: what fifty uploads leave that a server takes no more of. */
const MAX_UNREAD_BYTES = 256 * 1024 * 1024;
/** Of one stream: nobody need be counted while each of as many as are served at once holds less. */
const UNCOUNTED_BYTES = MAX_UNREAD_BYTES / 1024;

/** Of the library's own, and of no interface: whether keys are exchanged anew, and questions without an answer. */
interface Inner {
  readonly _protocol?: { readonly _kexinit?: unknown };
  readonly _callbacks?: readonly unknown[];
}

/** @param port is read already. @param overfull is called when it keeps too much, for as long as more comes. */
export function roomOn(port: Duplex, client: Client, overfull: () => void): Room {
  const waiting: (() => void)[] = [];
  const { _protocol, _callbacks = [] } = client as unknown as Inner;
  const isFull = (): boolean => port.writableNeedDrain || _protocol?._kexinit !== undefined;
  const goOn = (): void => {
    while (waiting.length > 0 && (port.destroyed || !isFull())) waiting.shift()?.();
  };
  port.on("drain", goOn).on("close", goOn);
  client.on("handshake", goOn);
  // Only what comes makes us say anything unasked.
  port.on("data", () => {
    if (port.writableLength > MAX_UNHEARD_BYTES || _callbacks.length > MAX_QUESTIONS) overfull();
  });
  const streams = new Set<Held>();
  return {
    streams,
    write: (go) => {
      waiting.push(go);
      goOn();
    },
    read: (stream) => {
      if (stream.unreadBytes() <= UNCOUNTED_BYTES) return;
      const held = [...streams].map((each) => ({ each, bytes: each.unreadBytes() }));
      if (held.reduce((sum, { bytes }) => sum + bytes, 0) <= MAX_UNREAD_BYTES) return;
      held.reduce((most, one) => (one.bytes > most.bytes ? one : most)).each.cutOff();
    },
  };
}
