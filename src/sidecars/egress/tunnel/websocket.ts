/** The upstream's consent to a WebSocket, as it is passed on; what follows it is not HTTP any more. */
import type { IncomingMessage } from "node:http";
import { DENIED_HEADER } from "../denial.ts";
import { canonicalName, isConnectionHeader } from "../rules/headers.ts";

/** The bytes of the answer's head; undefined when it consents to something else. */
export function switchProtocols(response: IncomingMessage): string | undefined {
  if (response.headers.upgrade?.toLowerCase() !== "websocket") return undefined;
  // None was asked for, and its messages could not be looked into.
  if (response.headers["sec-websocket-extensions"] !== undefined) return undefined;
  let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  const raw = response.rawHeaders;
  for (let i = 0; i < raw.length; i += 2) {
    const name = canonicalName(raw[i] ?? "");
    if (isConnectionHeader(name) || name === DENIED_HEADER || name === "content-length") continue;
    head += `${raw[i]}: ${raw[i + 1]}\r\n`;
  }
  return `${head}\r\n`;
}
