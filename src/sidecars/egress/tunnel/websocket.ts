/** A WebSocket: the upstream's consent, as it is passed on, and the messages that follow it, which are not HTTP any more. */
import type { Socket } from "node:net";
import { DENIED_HEADER, type Refusal } from "../denial.ts";
import { closeFrame } from "../inspection/frames.ts";
import type { MessageInspection } from "../inspection/messages.ts";
import { canonicalName, isConnectionHeader } from "../rules/headers.ts";
import { type Splice, type SpliceEvents, splice } from "./splice.ts";

/** The bytes of the answer's head; undefined when it consents to something else. @param raw flat: name, value. */
export function switchProtocols(raw: readonly string[]): string | undefined {
  let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  let upgrade = "";
  for (let i = 0; i < raw.length; i += 2) {
    const name = canonicalName(raw[i] ?? "");
    // None was asked for, and its messages could not be looked into.
    if (name === "sec-websocket-extensions") return undefined;
    if (name === "upgrade") upgrade += raw[i + 1];
    if (isConnectionHeader(name) || name === DENIED_HEADER || name === "content-length") continue;
    head += `${raw[i]}: ${raw[i + 1]}\r\n`;
  }
  return upgrade.toLowerCase() === "websocket" ? `${head}\r\n` : undefined;
}

/** Both sides of a WebSocket: their sockets, and what came of it behind the heads. */
export interface Sides {
  readonly guest: { readonly socket: Socket; readonly rest: Buffer };
  readonly upstream: { readonly socket: Socket; readonly rest: Buffer };
}

/** RFC 6455, section 7.4.1. */
const CLOSED_BY_POLICY = 1008;

/** Says to the guest that the message was none, and nothing more to anybody. @param lingerMs for it to take what lies there. */
export function closeDenied({ guest, upstream }: Sides, { code }: Refusal, lingerMs: number): void {
  const goodbye = closeFrame(CLOSED_BY_POLICY, `denied by bottle: ${code}`);
  // One that reads nothing would never have read it, and keep what lies there before it.
  guest.socket.setTimeout(lingerMs, () => {
    guest.socket.destroy();
    upstream.socket.destroy();
  });
  guest.socket.end(goodbye, () => void upstream.socket.destroy());
}

/** Passes the upstream's consent on, and then messages, as far as they may go. @param head {@link switchProtocols} made it. */
export function joinSides(
  { guest, upstream }: Sides,
  head: string,
  messages: MessageInspection,
  events: SpliceEvents,
): Splice {
  if (upstream.rest.length > 0) upstream.socket.unshift(upstream.rest);
  if (guest.rest.length > 0) guest.socket.unshift(guest.rest);
  guest.socket.write(messages.head(head), "latin1");
  const joined = splice(guest.socket, upstream.socket, events, messages);
  upstream.socket.resume();
  return joined;
}
