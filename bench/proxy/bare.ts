/**
 * What node:tls allows at best: TLS is ended and begun anew, and what is between is handed on unread. No HTTP, no rules, no
 * inspection, a certificate that is there already: whatever reads requests in this runtime costs more than this.
 */
import { createServer } from "node:http";
import { type AddressInfo, connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls";

export interface BareSetup {
  /** PEM: of the host, and of whom the upstream is believed by. */
  readonly certificate: string;
  readonly key: string;
  readonly root: string;
  readonly upstreamPort: number;
  readonly host: string;
}

process.once("message", ({ certificate, key, root, upstreamPort, host }: BareSetup) => {
  const own = createSecureContext({ cert: certificate, key });
  const roots = createSecureContext({ ca: root });
  const server = createServer();
  server.on("connect", (_request, raw: Socket) => {
    raw.setNoDelay(true);
    raw.write("HTTP/1.1 200 OK\r\n\r\n");
    const near = new TLSSocket(raw, { isServer: true, secureContext: own });
    const socket = connectTcp({ port: upstreamPort, host: "127.0.0.1", noDelay: true });
    const far = connectTls({ socket, servername: host, secureContext: roots });
    for (const each of [raw, near, socket, far]) {
      each.on("error", () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
