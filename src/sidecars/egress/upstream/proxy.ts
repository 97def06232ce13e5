/**
 * The way out through another proxy, a company's say: CONNECT for whatever is TLS, absolute form for plain HTTP.
 * Names are resolved there, so what is checked here is what can be known here: addresses as they are written, and
 * names that lead to a refused address already on this side. TLS goes from end to end through it: the upstream
 * must still prove that it is the route's host. The proxy's own credential is told to the proxy alone (I2).
 */
import { isIP, isIPv4, type Socket } from "node:net";
import { printable } from "../../../lib/printable.ts";
import { addressesOf, isFit, knownAddresses, type Resolve } from "../address/resolve.ts";
import { allow, type Refusal, refuse, type Verdict } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { UpstreamProxy } from "../policy/upstream-proxy.ts";
import type { StatedAnswer } from "../response/head.ts";
import { hostInUrl } from "../target/authority.ts";

/** What `connect_to` puts on this very machine is not on the proxy's; one of the bottle's own nothing goes around. */
export function proxyFor(proxy: UpstreamProxy | undefined, route: CompiledRoute): UpstreamProxy | undefined {
  if (proxy?.opens !== undefined) return proxy;
  const to = route.connectTo?.host ?? "";
  return to === "::1" || (isIPv4(to) && to.startsWith("127.")) ? undefined : proxy;
}

export interface AbsoluteForm {
  readonly proxy: UpstreamProxy;
  readonly path: string;
  readonly headers: readonly string[];
}

/** How a plain HTTP request is written to the proxy; undefined when it is written as to the host itself. */
export function absoluteForm(
  proxy: UpstreamProxy | undefined,
  route: CompiledRoute,
  { scheme, host, path }: { readonly scheme: string; readonly host: string; readonly path: string },
): AbsoluteForm | undefined {
  const through = proxyFor(proxy, route);
  // Of two hosts, a proxy would make the one in the URL the Host: then there is a tunnel.
  if (scheme !== "http" || through === undefined || route.connectTo !== undefined) return undefined;
  return { proxy: through, path: `http://${hostInUrl(host)}${path}`, headers: authorizationOf(through) };
}

function authorizationOf({ authorization }: UpstreamProxy): readonly string[] {
  return authorization === undefined ? [] : ["Proxy-Authorization", authorization];
}

/** Where the proxy is to lead, unless that is refused on this side already. */
export async function farSide(
  route: CompiledRoute,
  host: string,
  port: number,
  resolve: Resolve,
  limits: Limits,
): Promise<Verdict<{ readonly host: string; readonly port: number }>> {
  const to = route.connectTo ?? { host, port };
  if (isIP(to.host) !== 0) {
    const checked = await addressesOf(route, host, port, resolve, limits.resolveMs);
    return checked.allow ? allow(to) : checked;
  }
  // That a name is unknown here is what such a proxy is for.
  const here = await knownAddresses(limits.proxiedResolveMs, to.host, resolve);
  const unfit = here.find((address) => !isFit(route, address));
  if (unfit === undefined) return allow(to);
  return refuse(
    "address-refused",
    `${to.host} leads to an address that is private, local or reserved, as this machine resolves it`,
    `route ${route.host}: not within its allow_addresses`,
  );
}

/** Has the proxy open a tunnel on `socket`. Destroys it when that fails. */
export async function askForTunnel(
  socket: Socket,
  proxy: UpstreamProxy,
  to: { readonly host: string; readonly port: number },
  limits: Limits,
): Promise<Verdict<Socket>> {
  const authority = `${hostInUrl(to.host)}:${to.port}`;
  let head = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n`;
  const authorization = authorizationOf(proxy);
  for (let i = 0; i < authorization.length; i += 2)
    head += `${authorization[i]}: ${authorization[i + 1]}\r\n`;
  socket.write(`${head}\r\n`);
  const answer = await readHead(socket, limits);
  const status = answer === undefined ? undefined : /^HTTP\/1\.[01] ([0-9]{3})[ \r]/.exec(answer)?.[1];
  if (status?.startsWith("2")) return allow(socket);
  socket.destroy();
  return proxyRefusal(proxy, status);
}

/** Of its own blocks, in a closed vocabulary (docs/guides/block-reason-header.md of pipelock's repository). */
const BLOCK_REASON = "x-pipelock-block-reason";
/** The longest word of it has half as many. */
const BLOCK_REASON_CHARACTERS = 48;

/** What it is that a pipelock between here and the upstream did not let through, if that is what this answer says. */
export function blockedBy(
  proxy: UpstreamProxy | undefined,
  { head, rawHeaders }: Pick<StatedAnswer, "head" | "rawHeaders">,
): Refusal | undefined {
  if (proxy?.opens === undefined || head.status !== 403) return undefined;
  const at = rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === BLOCK_REASON);
  const reason = at < 0 ? undefined : rawHeaders[at + 1];
  if (reason === undefined) return undefined;
  return refuse(
    "pipelock-blocked",
    "pipelock, through which everything leaves, did not let it pass",
    `egress.pipelock: ${printable(reason, BLOCK_REASON_CHARACTERS)}`,
    { ask: { tool: "list_capabilities", arguments: {} } },
  );
}

/** Not the upstream's answer, and none that a guest could do something about. */
export function proxyRefusal(proxy: UpstreamProxy, status: string | undefined): Refusal {
  const wants = status === "407" ? ": it wants another credential" : "";
  return refuse(
    "upstream-proxy",
    status === undefined
      ? `the proxy ${proxy.name} did not answer properly or in time`
      : `the proxy ${proxy.name} itself answered with ${status}${wants}`,
    `egress.${proxy.opens === undefined ? "upstream_proxy" : "pipelock"}: everything leaves through ${proxy.name}`,
  );
}

/** Up to the empty line; what follows is left on the socket, which nobody has set flowing. */
function readHead(socket: Socket, limits: Limits): Promise<string | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const done = (head: string | undefined): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      resolve(head);
    };
    const onEnd = (): void => done(undefined);
    const onReadable = (): void => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        bytes = Buffer.concat([bytes, chunk as Buffer]);
      }
      const end = bytes.indexOf("\r\n\r\n");
      if (end >= 0) {
        const rest = bytes.subarray(end + 4);
        if (rest.length > 0) socket.unshift(rest);
        done(bytes.toString("latin1", 0, end + 2));
      } else if (bytes.length > limits.responseHeadBytes) {
        done(undefined);
      }
    };
    const timer = setTimeout(onEnd, limits.connectMs);
    socket.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
  });
}
