/** An admitted request as it is written to the upstream, or to the proxy on the way there. */
import { outgoingHeaders } from "../inject/inject.ts";
import type { Framing } from "../inspection/outgoing-body.ts";
import type { Admission } from "../pipeline.ts";
import type { CompiledPolicy } from "../policy/compile.ts";
import { openedRoots } from "../policy/upstream-proxy.ts";
import type { Message } from "./connection.ts";
import { type AbsoluteForm, absoluteForm } from "./proxy.ts";

export interface Written {
  /** Secret. */
  readonly message: Message;
  /** How it was written to a proxy, if it was. */
  readonly proxied: AbsoluteForm | undefined;
}

export interface MessageParts {
  readonly method: string;
  /** Absent without a body. */
  readonly body: { readonly framing: Framing; readonly decoded: boolean } | undefined;
  /** The client asked to leave HTTP. */
  readonly upgrading: boolean;
}

export function messageFor(
  { target, route, head }: Admission,
  { proxy }: CompiledPolicy,
  { method, body, upgrading }: MessageParts,
): Written {
  const opened = openedRoots(proxy, route) !== undefined;
  const proxied = absoluteForm(proxy, route, target);
  const headers = outgoingHeaders({ method, host: target.host, head, body, opened }, route);
  headers.push("Connection", upgrading ? "Upgrade" : "keep-alive");
  if (upgrading) headers.push("Upgrade", "websocket");
  headers.push(...(proxied?.headers ?? []));
  const chunked = body !== undefined && "chunked" in body.framing;
  return { message: { method, path: proxied?.path ?? target.path, headers, chunked }, proxied };
}
