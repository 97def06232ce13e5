/**
 * The lines that a guest's first process and the keeper exchange before there is SSH: the guest's hello, where
 * it is waited for, its identity, and the number that both sides must have heard before each handshake. What comes may be anything at all: the rest of a
 * connection that was lost, a kernel's words, a hostile guest's.
 */
import type { Duplex } from "node:stream";
import { printable } from "../../lib/printable.ts";
import { type GuestIdentity, hostTime, newNonce } from "./identity.ts";

/** What a lost connection can leave in the port and in its queue. */
const MAX_LEFT_BYTES = 4 * 1024 * 1024;
const MAX_LINE_BYTES = 4096;
/** The kernel, its drivers and perl: some two seconds where the processor is emulated, and that on a busy host. */
export const HELLO_TIMEOUT_MS = 60_000;
/** Some milliseconds, and seconds on a busy host. */
const SYNC_TIMEOUT_MS = 30_000;

/** Waits for a guest that was started, and leaves it waiting for its identity: who tells it that before waits for no hello. */
export async function awaitHello(port: Duplex): Promise<void> {
  await lineOn(port, /^BOTTLE hello 1$/, HELLO_TIMEOUT_MS);
}

/** And the time. To be synchronised with next. */
export function tellIdentity(port: Duplex, identity: GuestIdentity): void {
  port.write(`${JSON.stringify({ ...identity, time: hostTime() })}\n`);
}

/** After it, the next byte is a new SSH server's. @param milliseconds for a guest that is there; or still boots: {@link HELLO_TIMEOUT_MS}. */
export async function synchronise(port: Duplex, milliseconds = SYNC_TIMEOUT_MS): Promise<void> {
  const nonce = newNonce();
  // A line that an earlier connection's server had for breakfast is said again, once that server is gone.
  const say = (): void => void port.write(`\nBOTTLE sync ${nonce}\n`);
  say();
  await lineOn(port, new RegExp(`^BOTTLE synced ${nonce}$`), milliseconds, { closed: say });
}

/**
 * Reads up to a line that matches, and not a byte further.
 * @throws Error when the guest says that it failed, the port closes, or time or patience with other bytes ends.
 */
function lineOn(
  port: Duplex,
  wanted: RegExp,
  milliseconds: number,
  on: { readonly closed?: () => void } = {},
): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    let passed = 0;
    const settle = (result: RegExpExecArray | Error): void => {
      clearTimeout(timer);
      port.off("data", onData).off("close", onClose).pause();
      if (result instanceof Error) reject(result);
      else {
        resolve(result);
        if (held.length > 0) port.unshift(held);
      }
    };
    const timer = setTimeout(
      () => settle(new Error(`the guest did not answer within ${milliseconds / 1000} s`)),
      milliseconds,
    );
    const onClose = (): void => settle(new Error("the guest is gone"));
    const onData = (chunk: Buffer): void => {
      passed += chunk.length;
      held = Buffer.concat([held, chunk]);
      for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
        const line = held.toString("latin1", Math.max(0, end - MAX_LINE_BYTES), end);
        held = held.subarray(end + 1);
        const match = wanted.exec(line);
        if (match !== null) {
          settle(match);
          return;
        }
        const [, why] = /^BOTTLE failed (.*)$/.exec(line) ?? [];
        if (why !== undefined) {
          settle(new Error(`the guest could not start: ${printable(why)}`));
          return;
        }
        if (line === "BOTTLE closed") on.closed?.();
      }
      if (passed > MAX_LEFT_BYTES) {
        settle(new Error("the guest does not come to the point"));
        return;
      }
      // The rest of a connection may have no line breaks at all.
      held = held.subarray(-MAX_LINE_BYTES);
    };
    port.on("data", onData).on("close", onClose);
    port.resume();
  });
}
