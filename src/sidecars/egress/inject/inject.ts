/**
 * What is sent upstream in place of the guest's headers: its own without those that end here and without any
 * credential header, then the framing as egress understood it, then the route's credential. Only a request
 * that the rules allowed comes here, and only on the one route that allowed it.
 */
import type { CompiledRoute } from "../policy/compile.ts";
import type { RequestHead } from "../rules/head.ts";
import { hostInUrl } from "../target/authority.ts";

/** Requests that servers expect to have a length even without a body. */
const EXPECT_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

export interface Outgoing {
  readonly method: string;
  readonly host: string;
  readonly head: RequestHead;
  readonly hasBody: boolean;
}

/** Flat: name, value. Holds secrets. */
export function outgoingHeaders({ method, host, head, hasBody }: Outgoing, route: CompiledRoute): string[] {
  const { raw, names } = head;
  const headers = ["Host", hostInUrl(host)];
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    if (name !== "" && !route.stripped.has(name)) headers.push(raw[2 * i] ?? "", raw[2 * i + 1] ?? "");
  }
  if (head.contentLength !== undefined) headers.push("Content-Length", head.contentLength);
  else if (hasBody) headers.push("Transfer-Encoding", "chunked");
  else if (EXPECT_BODY.has(method)) headers.push("Content-Length", "0");
  if (head.expectsContinue && hasBody) headers.push("Expect", "100-continue");
  headers.push(...route.inject);
  return headers;
}
