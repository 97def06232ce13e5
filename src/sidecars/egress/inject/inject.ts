/**
 * What is sent upstream in place of the guest's headers: its own without those that end here and without any
 * credential header, then the framing as egress understood it, then the route's credential. Only a request
 * that the rules allowed comes here, and only on the one route that allowed it.
 */
import { acceptedEncoding } from "../inspection/content-coding.ts";
import type { Framing } from "../inspection/outgoing-body.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { RequestHead } from "../rules/head.ts";
import { hostInUrl } from "../target/authority.ts";

/** Requests that servers expect to have a length even without a body. */
const EXPECT_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** Whoever asks for parts of an answer may have a credential that is repeated in it cut in two, and not known again. */
const PARTS: ReadonlySet<string> = new Set(["range", "if-range"]);

export interface Outgoing {
  readonly method: string;
  readonly host: string;
  readonly head: RequestHead;
  /** Absent without a body. */
  readonly body: { readonly framing: Framing; readonly decoded: boolean } | undefined;
  /** A proxy on the way reads the answer, and refuses one that is compressed. */
  readonly opened?: boolean;
}

/** Flat: name, value. Holds secrets. */
export function outgoingHeaders(
  { method, host, head, body, opened = false }: Outgoing,
  route: CompiledRoute,
): string[] {
  const { raw, names } = head;
  const headers = ["Host", hostInUrl(host)];
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    if (body?.decoded && name === "content-encoding") continue;
    // Said again below. What a WebSocket's extensions do to its messages cannot be looked into.
    if (name === "accept-encoding" || name === "sec-websocket-extensions") continue;
    if (route.inject.length > 0 && PARTS.has(name)) continue;
    if (name !== "" && !route.stripped.has(name)) headers.push(raw[2 * i] ?? "", raw[2 * i + 1] ?? "");
  }
  if (head.names.includes("accept-encoding"))
    headers.push("Accept-Encoding", opened ? "identity" : acceptedEncoding(head));
  if (body === undefined) {
    const length = head.contentLength ?? (EXPECT_BODY.has(method) ? "0" : undefined);
    if (length !== undefined) headers.push("Content-Length", length);
  } else if ("contentLength" in body.framing) {
    headers.push("Content-Length", body.framing.contentLength);
  } else {
    headers.push("Transfer-Encoding", "chunked");
  }
  headers.push(...route.inject);
  return headers;
}
