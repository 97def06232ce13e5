/** Bytes that are named by their hash: nothing of them is believed before they are all there and hash to their name. */
import { createHash, type Hash } from "node:crypto";
import { UserError } from "../lib/errors.ts";

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;
type Algorithm = keyof typeof HEX_LENGTH;

const DIGEST = /^(sha256|sha512):([0-9a-f]+)$/;

export function isDigest(text: string): boolean {
  return parse(text) !== undefined;
}

function parse(text: string): { algorithm: Algorithm; hex: string } | undefined {
  const [, algorithm, hex = ""] = DIGEST.exec(text) ?? [];
  if (algorithm !== "sha256" && algorithm !== "sha512") return undefined;
  return hex.length === HEX_LENGTH[algorithm] ? { algorithm, hex } : undefined;
}

/** Its two parts, each safe as a file name. @throws UserError when it is none. */
export function digestParts(digest: string): { algorithm: Algorithm; hex: string } {
  const parts = parse(digest);
  if (parts === undefined) throw new UserError("an image names its parts by something that is no digest");
  return parts;
}

export function sha256Of(bytes: Buffer | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Hashes what passes and compares at the end. */
export class DigestCheck {
  readonly #digest: string;
  readonly #what: string;
  readonly #hash: Hash;
  #bytes = 0;
  readonly #size: number | undefined;

  constructor(what: string, digest: string, size?: number) {
    this.#what = what;
    this.#digest = digest;
    this.#size = size;
    this.#hash = createHash(digestParts(digest).algorithm);
  }

  /** @throws UserError as soon as there is more than was announced. */
  update(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    if (this.#size !== undefined && this.#bytes > this.#size) this.#fail("is longer than announced");
  }

  /** @throws UserError when these are not the bytes that were named. */
  finish(): void {
    if (this.#size !== undefined && this.#bytes < this.#size) this.#fail("is shorter than announced");
    const { algorithm } = digestParts(this.#digest);
    if (`${algorithm}:${this.#hash.digest("hex")}` !== this.#digest) this.#fail("does not hash to its name");
  }

  #fail(how: string): never {
    throw new UserError(`${this.#what} ${this.#digest} ${how}: it was damaged or changed on its way`, {
      hint: "get the image again from where it comes from",
    });
  }
}

/** All of a small part. */
export function checkBytes(what: string, bytes: Buffer, digest: string, size?: number): Buffer {
  const check = new DigestCheck(what, digest, size);
  check.update(bytes);
  check.finish();
  return bytes;
}

/** The same bytes; ends with an error instead of an end when they are not the ones that were named. */
export async function* checked(
  what: string,
  source: AsyncIterable<Buffer>,
  digest: string,
  size?: number,
): AsyncGenerator<Buffer, void, void> {
  const check = new DigestCheck(what, digest, size);
  for await (const chunk of source) {
    check.update(chunk);
    yield chunk;
  }
  check.finish();
}
