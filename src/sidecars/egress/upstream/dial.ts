/**
 * A new connection to an upstream: address check, then TCP to one of the checked addresses, then TLS in
 * which the upstream must prove that it is the route's host, whatever `connectTo` dialled.
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import { codeOf } from "../../../lib/errors.ts";
import { printable } from "../../../lib/printable.ts";
import { addressesOf, type Destination, knownAddresses, type Resolve } from "../address/resolve.ts";
import { allow, type Refusal, refuse, type Verdict } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { openedRoots, type UpstreamProxy } from "../policy/upstream-proxy.ts";
import { absoluteForm, askForTunnel, farSide, proxyFor } from "./proxy.ts";

export interface Dialling {
  readonly proxy: UpstreamProxy | undefined;
  readonly roots: SecureContext;
  readonly resolve: Resolve;
  readonly limits: Limits;
  /** Aborted when nobody wants the connection any more, as long as there is none. */
  readonly signal?: AbortSignal | undefined;
}

const PORTS = { http: 80, https: 443, tunnel: 443 } as const;

/** `tunnel` is TCP to where https would go: TLS is the guest's own. */
export async function dial(
  scheme: keyof typeof PORTS,
  host: string,
  route: CompiledRoute,
  dialling: Dialling,
): Promise<Verdict<Socket>> {
  const { proxy, roots, limits } = dialling;
  const through = proxyFor(proxy, route);
  const socket =
    through === undefined
      ? await direct(scheme, host, route, dialling)
      : await throughProxy(through, scheme, host, route, dialling);
  if (!socket.allow || scheme !== "https") return socket;
  return secure(socket.value, host, route, openedRoots(through, route) ?? roots, limits.upstreamHandshakeMs);
}

async function direct(
  scheme: keyof typeof PORTS,
  host: string,
  route: CompiledRoute,
  { resolve, limits, signal }: Dialling,
): Promise<Verdict<Socket>> {
  const destination = await addressesOf(route, host, PORTS[scheme], resolve, limits.resolveMs);
  if (!destination.allow) return destination;
  return connectAny(host, destination.value, limits, signal);
}

/** A tunnel to the host, or for plain HTTP the proxy itself, which then is asked by absolute form. */
async function throughProxy(
  proxy: UpstreamProxy,
  scheme: keyof typeof PORTS,
  host: string,
  route: CompiledRoute,
  { roots, resolve, limits, signal }: Dialling,
): Promise<Verdict<Socket>> {
  const to = await farSide(route, host, PORTS[scheme], resolve, limits);
  if (!to.allow) return to;
  // The operator's own word for where to go, and no route of the guest's: it may well be private.
  const addresses =
    isIP(proxy.host) === 0 ? await knownAddresses(limits.resolveMs, proxy.host, resolve) : [proxy.host];
  const near = await connectAny(proxy.name, { addresses, port: proxy.port }, limits, signal);
  if (!near.allow) return near;
  const spoken = proxy.tls
    ? await secure(near.value, proxy.host, route, roots, limits.upstreamHandshakeMs)
    : near;
  if (!spoken.allow) return spoken;
  const isAsked = absoluteForm(proxy, route, { scheme, host, path: "/" }) !== undefined;
  return isAsked ? spoken : askForTunnel(spoken.value, proxy, to.value, limits);
}

async function connectAny(
  host: string,
  { addresses, port }: Destination,
  limits: Limits,
  signal: AbortSignal | undefined,
): Promise<Verdict<Socket>> {
  const deadline = performance.now() + limits.connectMs;
  const tried = addresses.slice(0, limits.addressesTried);
  let code = "";
  for (const [i, address] of tried.entries()) {
    if (signal?.aborted) break;
    // What is left is shared, so that a silent first address does not use up the others' time.
    const share = (deadline - performance.now()) / (tried.length - i);
    const result = await connectOne(address, port, share, signal);
    if (typeof result !== "string") return allow(result);
    code = result;
  }
  const rule = "the upstream must be there and answer";
  return code === "ETIMEDOUT"
    ? refuse("upstream-timeout", `${host} did not answer a connection attempt in time`, rule)
    : refuse("upstream-unreachable", `${host} could not be connected to (${code})`, rule);
}

/** The socket, or why not. */
function connectOne(
  address: string,
  port: number,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: address, port, noDelay: true, allowHalfOpen: true });
    // Stays for the socket's whole life: whoever uses it later learns of errors by its end.
    socket.on("error", (error) => resolve(codeOf(error) ?? "error"));
    // Also in the middle of what follows, TLS or a proxy's answer: each of them sees its socket end.
    signal?.addEventListener("abort", () => socket.destroy(), { once: true });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve("ETIMEDOUT");
    }, ms);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve("ECONNRESET");
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

function secure(
  socket: Socket,
  host: string,
  route: CompiledRoute,
  roots: SecureContext,
  ms: number,
): Promise<Verdict<TLSSocket>> {
  return new Promise((resolve) => {
    const isAddress = isIP(host) !== 0;
    const tls = connectTls({
      socket,
      host,
      // SNI carries names only.
      ...(isAddress ? {} : { servername: host }),
      secureContext: roots,
      ALPNProtocols: ["http/1.1"],
    });
    tls.on("error", (error) => resolve(tlsRefusal(host, route, codeOf(error) ?? "error")));
    const timer = setTimeout(() => {
      tls.destroy();
      resolve(
        refuse("upstream-timeout", `${host} did not finish the TLS handshake in time`, "TLS handshake"),
      );
    }, ms);
    tls.once("close", () => {
      clearTimeout(timer);
      resolve(tlsRefusal(host, route, "closed"));
    });
    tls.once("secureConnect", () => {
      clearTimeout(timer);
      resolve(allow(tls));
    });
  });
}

function tlsRefusal(host: string, route: CompiledRoute, code: string): Refusal {
  return refuse(
    "upstream-tls",
    `no TLS connection that proves to be ${host} (${printable(code)})`,
    `route ${route.host}: a certificate for ${host}, valid now, from a public root or one in upstream_ca`,
  );
}
