/**
 * How much a connection keeps of what its guest has not heard. The SSH library writes whatever a channel's window allows,
 * which is the guest's to say, and answers whatever is asked, and looks at nobody who reads: a guest that asks and does
 * not listen would have all of it kept here. So writers wait until there is room, and one that has answers pile up is cut off.
 */
import type { Duplex } from "node:stream";
import type { Client } from "ssh2";

/** Calls back once something more may be written: those that wait in the order in which they came. */
export type Room = (go: () => void) => void;

/** Above what writers who wait leave, were a window opened to all that may be served: a piece of each. */
const MAX_UNHEARD_BYTES = 48 * 1024 * 1024;
/** Of which an honest guest leaves a few open. One that it makes the library ask may hold a packet full of keys. */
const MAX_QUESTIONS = 100;

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
  return (go) => {
    waiting.push(go);
    goOn();
  };
}
