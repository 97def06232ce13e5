/**
 * Whether a text of the operator's own looks like it holds a secret (I2). What comes into a guest beside the
 * manifest's `env` must hold none, because nobody would be told of it. It is a net and no proof: what is brought in
 * is the operator's choice, by name.
 */
import { randomBytes } from "node:crypto";
import { isMixedCase, looksRandom } from "../inspect/checks/randomness.ts";
import { DETECTORS } from "../inspect/detectors/index.ts";
import { compileInspector, type Inspector } from "../inspect/inspector.ts";

/** Shorter words are identifiers; keys that are given out have at least so many characters. */
const OPAQUE_LENGTH = 20;
const HEX_WORD = /^[0-9a-f]+$/i;

/** Names of headers, variables and parameters whose values prove who somebody is. */
const CREDENTIAL_NAME =
  /auth(?!ors?(?![a-z]))|cookie|token(?!iz|s$)|secret|passw|credential|session|signature|(?:api|access|private|subscription|app)[-_]?key|^key$/i;

let inspector: Inspector | undefined;

/** What kind of secret a detector finds in `text`. The value itself is not told. */
export function secretIn(text: string): string | undefined {
  inspector ??= compileInspector({ detectors: DETECTORS, fingerprintKey: randomBytes(32) });
  return inspector.scan(Buffer.from(text))[0]?.detector;
}

/** Stricter, for values that are no prose: also a word that could have been drawn at random. */
export function opaqueIn(text: string): string | undefined {
  const found = secretIn(text);
  if (found !== undefined) return found;
  const isOpaque = text
    .split(/[^A-Za-z0-9_-]+/)
    .some(
      (word) =>
        word.length >= OPAQUE_LENGTH && (HEX_WORD.test(word) || isMixedCase(word) || looksRandom(word)),
    );
  return isOpaque ? "random-looking text" : undefined;
}

export function isCredentialName(name: string): boolean {
  return CREDENTIAL_NAME.test(name);
}
