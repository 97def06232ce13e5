/**
 * A head seals every line before it: a line `log.head` inside the chain whose signature covers the bottle,
 * the head's own number, the hash of the line before, the time, and whether the log was closed there.
 * The signed text has a line each, so that `printf` can make it again.
 */
import { type KeyObject, sign, verify } from "node:crypto";
import * as z from "zod";
import type { Entry } from "./entry.ts";
import type { HostKey } from "./host-key.ts";

export const HEAD_EVENT = "log.head";
/** Lines between heads: what somebody without the key could alter unseen in a log that was never closed. */
export const HEAD_EVERY = 64;

const headSchema = z.strictObject({
  bottle: z.string(),
  /** The last line of an orderly end. */
  closing: z.boolean(),
  /** Fingerprint of the key that signed. */
  key: z.string(),
  /** ed25519, base64. */
  signature: z.string(),
});
export type HeadData = z.infer<typeof headSchema>;

/** Where a line stands in its log. */
export type Place = Pick<Entry, "seq" | "prev" | "time">;

export function signedHead(key: HostKey, bottle: string, closing: boolean, place: Place): HeadData {
  const signature = sign(null, signedText(bottle, closing, place), key.privateKey).toString("base64");
  return { bottle, closing, key: key.fingerprint, signature };
}

export type HeadVerdict =
  | { readonly kind: "good"; readonly closing: boolean }
  | {
      readonly kind: "bad";
      readonly code: "bad-head" | "other-key" | "bad-signature";
      readonly detail: string;
    };

export function checkHead(
  entry: Entry,
  bottle: string,
  key: { readonly publicKey: KeyObject; readonly fingerprint: string },
): HeadVerdict {
  const parsed = headSchema.safeParse(entry.data);
  if (!parsed.success || parsed.data.bottle !== bottle) {
    return { kind: "bad", code: "bad-head", detail: "the head is not one of this bottle's" };
  }
  const head = parsed.data;
  if (head.key !== key.fingerprint) {
    return { kind: "bad", code: "other-key", detail: `sealed by another key than ${key.fingerprint}` };
  }
  const signature = Buffer.from(head.signature, "base64");
  const good =
    signature.toString("base64") === head.signature &&
    verify(null, signedText(bottle, head.closing, entry), key.publicKey, signature);
  return good
    ? { kind: "good", closing: head.closing }
    : { kind: "bad", code: "bad-signature", detail: "the signature does not belong to this head" };
}

function signedText(bottle: string, closing: boolean, { seq, prev, time }: Place): Buffer {
  const kind = closing ? "closing" : "open";
  return Buffer.from(`bot-bottle audit head v1\n${bottle}\n${kind}\n${seq}\n${prev}\n${time}\n`);
}
