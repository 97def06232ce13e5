/** A request of an agent's in a real bottle, and the operator's yes to it. */
import { call } from "./mcp-in-bottle.ts";
import type { RealBottle, RealOperator } from "./real-bottle.ts";

/** @param flags how long it is given. @returns the ticket. @throws Error with the words of whoever refused. */
export async function givenInBottle(
  operator: RealOperator,
  bottle: RealBottle,
  { host, path }: { readonly host: string; readonly path: string },
  flags: readonly string[],
): Promise<string> {
  const { told } = await call(bottle, "request_access", {
    host,
    method: "GET",
    path,
    justification: "please",
  });
  const ticket = String(told["ticket"]);
  const { stdout } = await operator.bottle(["inbox", "show", ticket, "--json"]);
  const { digest } = (JSON.parse(stdout) as { pending: { digest: string } }).pending;
  const answer = await operator.bottle(["inbox", "approve", ticket, ...flags, "--yes", "--digest", digest]);
  if (answer.code !== 0) throw new Error(answer.stderr);
  return ticket;
}
