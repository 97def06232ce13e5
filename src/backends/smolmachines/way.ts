/** How a guest gets to its bundle, by release and host: decided here, before anything is made. */
import { UserError } from "../../lib/errors.ts";
import type { Smolvm } from "./smolvm.ts";
import { GATEWAY } from "./versions.ts";

export type Way =
  /** Sockets of this host's in a guest that has no network. */
  | { readonly kind: "sockets" }
  /** The VMM's network is a room with the bundle's listeners in it; `address`: where the guest finds them. */
  | { readonly kind: "room"; readonly address: string; readonly allow: readonly string[] }
  /** An address on this host's loopback; smolvm's own filter has to hold. */
  | { readonly kind: "alias" };

/**
 * @param room whether the VMM can have one.
 * @throws UserError naming the release, what it does, and what to do, when there is no way that can hold.
 */
export function wayFor({ traits, text }: Pick<Smolvm, "traits" | "text">, room: boolean): Way {
  if (traits.mountsSockets) return { kind: "sockets" };
  const gateway = traits.hostLoopback === "gateway";
  if (room) {
    const address = gateway ? GATEWAY : "127.0.0.1";
    return { kind: "room", address, allow: [`${address}/32`] };
  }
  if (gateway)
    throw new UserError(
      `smolvm ${text} leads a guest to every port of this host's loopback or to none (hole A.7.1), and there is no network namespace here to put it into`,
      { hint: "use smolvm 1.9 or newer, whose machines need no network" },
    );
  return { kind: "alias" };
}
