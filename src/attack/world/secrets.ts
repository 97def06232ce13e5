/** What is planted: values that open nothing, made for one run, so that to see one anywhere is to know whose it is. */
import { createHash, randomBytes, randomInt } from "node:crypto";
import { makeSshKeyPair, type SshKeyPair } from "../../bundle/private-key.ts";

export interface Secrets {
  /** A token that only egress holds. */
  readonly token: string;
  /** One that only git-gate holds. */
  readonly gitToken: string;
  /** Given to the agent, for one host. */
  readonly bound: string;
  /** What looks like a secret, and is known to nobody as one. */
  readonly found: string;
  /** A key that only git-gate holds. */
  readonly key: SshKeyPair;
}

/** Shaped like a forge's token; put together here, so that no file holds one. */
function shaped(): string {
  return `${["gh", "p_"].join("")}${randomBytes(27).toString("hex").slice(0, 36)}`;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function letters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

export function makeSecrets(): Secrets {
  return {
    token: shaped(),
    gitToken: shaped(),
    bound: randomBytes(18).toString("base64url"),
    // With a digit: without any, it may look like words, once in a while.
    found: `${["gl", "pat-"].join("")}${letters(19)}${randomInt(10)}`,
    key: makeSshKeyPair(),
  };
}

export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A whole line of the key's body: what a search for it looks for. */
export function keyLine({ privateKey }: SshKeyPair): string {
  return privateKey.split("\n")[2] ?? "";
}
