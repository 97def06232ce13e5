/**
 * The values that stand for credentials in the guest, in every form in which a client would put one into a
 * header or a URL. None is a secret; where one is about to be sent on, the guest takes a host for one that gets
 * the credential, and is told so (I10) instead of failing there for no visible reason.
 */
import { UserError } from "../../../lib/errors.ts";

/** Shorter ones would be met by accident. */
const MIN_LENGTH = 12;

export interface Placeholders {
  /** Whether one of them is in `text`, plain, percent-encoded, as hex or within anything in base64. */
  isIn(text: string): boolean;
}

/** @throws UserError for one that is too short to be told from ordinary text. */
export function compilePlaceholders(values: readonly string[]): Placeholders {
  const plain: string[] = [];
  const exact: string[] = [];
  for (const value of values) {
    if (value.length < MIN_LENGTH) {
      throw new UserError(`placeholders: each needs at least ${MIN_LENGTH} characters`);
    }
    plain.push(value.toLowerCase(), Buffer.from(value).toString("hex"));
    for (const form of base64Forms(value)) exact.push(form, form.replace(/\+/g, "-").replace(/\//g, "_"));
  }
  const found = (text: string): boolean => {
    const lower = text.toLowerCase();
    return plain.some((form) => lower.includes(form)) || exact.some((form) => text.includes(form));
  };
  return {
    isIn: (text) => values.length > 0 && (found(text) || (text.includes("%") && found(withoutEscapes(text)))),
  };
}

/** What any base64 of any text around `value` contains: one form for each position in a group of three bytes. */
function base64Forms(value: string): readonly string[] {
  return [0, 1, 2].map((offset) => {
    const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(value)]);
    // Characters at either end also depend on what is next to it.
    const begin = Math.ceil((offset * 8) / 6);
    const end = Math.floor((bytes.length * 8) / 6);
    return bytes.toString("base64").slice(begin, end);
  });
}

function withoutEscapes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
