/**
 * The guest's TLS ends here, under a certificate of the bottle's own CA, so that what is inside can be
 * judged. `performServerHandshake` is node's way to speak HTTP/2 on a socket one already has.
 */
import { performServerHandshake, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";
import type { Connection } from "../accept/connection.ts";
import { SentFields } from "../accept/sent-fields.ts";
import type { Limits } from "../limits.ts";
import { overheard } from "./overheard.ts";

/** An upload must not wait for one window update per 64 KiB. */
const STREAM_WINDOW_BYTES = 1024 * 1024;

export interface Secured {
  http1(socket: Duplex): void;
  http2(session: ServerHttp2Session, sent: SentFields): void;
}

/** What the client has already sent, and the name it was found to want. */
export interface Greeted {
  readonly bytes: Buffer;
  readonly serverName: string | undefined;
}

export function terminate(
  connection: Connection,
  { bytes, serverName }: Greeted,
  secureContext: SecureContext,
  limits: Limits,
  secured: Secured,
): void {
  const { raw } = connection;
  raw.unshift(bytes);
  const tls = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: ["h2", "http/1.1"] });
  const hangUp = (): void => void raw.destroy();
  tls.on("error", hangUp);
  tls.on("end", hangUp);
  tls.once("secure", () => {
    // OpenSSL read the same bytes: had it found another name than we did, ours was judged wrongly.
    if ((tls.servername || undefined) !== serverName) {
      hangUp();
      return;
    }
    if (tls.alpnProtocol !== "h2") {
      // HTTP/1 sees to it; HTTP/2 would not notice.
      tls.off("end", hangUp);
      connection.enter("head");
      secured.http1(tls);
      return;
    }
    connection.enter("streams");
    const sent = new SentFields();
    const socket = overheard(tls, (chunk) => {
      sent.push(chunk);
      // What the library has made of it by then, it tells of.
      if (sent.hasUntold) setImmediate(() => connection.onSweep?.());
    });
    const session = performServerHandshake(socket, http2Options(limits));
    session.on("error", hangUp);
    session.on("close", hangUp);
    connection.session = session;
    secured.http2(session, sent);
  });
}

function http2Options(limits: Limits) {
  return {
    settings: {
      maxConcurrentStreams: limits.streamsPerConnection,
      maxHeaderListSize: limits.requestHeadBytes,
      initialWindowSize: STREAM_WINDOW_BYTES,
      enablePush: false,
    },
    maxHeaderListPairs: limits.requestHeaders,
    // Node's types do not know these two.
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetsPerSecond,
  };
}
