/**
 * TLS from a program that knows no proxy: the guest's hosts file led it to its own loopback, where egress listens
 * in place of the host. The SNI alone says which host that is, so it must be there, and only a host that a route
 * names exactly is served: no other name can have led here honestly. From then on it is a tunnel like any other;
 * what is refused is refused inside it.
 */
import { exactRoutesOf } from "../allow-list/allow-list.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { canonicalHost } from "../target/authority.ts";
import { passThrough } from "../tunnel/passthrough.ts";
import { type Asked, type Greeting, greet, hiddenHost, lookInside } from "./tunnel.ts";

/** What a client without SNI has dialled. */
const LOOPBACK = "127.0.0.1";

export function openDirect(asked: Asked): void {
  asked.connection.enter("handshake");
  greet(asked, { opening: "", method: "TLS", host: LOOPBACK }, (hello, bytes) => {
    const host = canonicalHost(hello.serverName ?? "");
    if (host === undefined) {
      lookInside(asked, LOOPBACK, hello, bytes, unnamed());
      return;
    }
    const routes = exactRoutesOf(asked.services.current.policy, host);
    // Said here too: a client that trusts no certificate of ours will never get to a request.
    if (!routes.allow) asked.services.report.denied(routes, { method: "TLS", scheme: "https", host });
    const [route] = routes.allow && routes.value.tls === "passthrough" ? routes.value.routes : [];
    if (route === undefined) lookInside(asked, host, hello, bytes, undefined);
    else passUnopened(asked, host, route, hello, bytes);
  });
}

function passUnopened(
  asked: Asked,
  host: string,
  route: CompiledRoute,
  hello: Greeting,
  bytes: Buffer,
): void {
  const hidden = hiddenHost(host, hello);
  if (hidden !== undefined) {
    lookInside(asked, host, hello, bytes, hidden);
    return;
  }
  passThrough(asked.services, asked.connection, host, route, {
    refused: (refusal) => lookInside(asked, host, hello, bytes, refusal),
    connected: (tunnel) => tunnel.begin(bytes),
  });
}

function unnamed(): Refusal {
  return refuse(
    "sni-mismatch",
    "this is TLS to the bottle's own loopback, and it names no host",
    "without the proxy, the SNI says which host is meant",
  );
}
