/** The upstream's consent to a WebSocket, as it is passed on; what follows it is not HTTP any more. */
import { DENIED_HEADER } from "../denial.ts";
import { canonicalName, isConnectionHeader } from "../rules/headers.ts";

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
