/** A text that was understood, or why it was not: what every small parser returns. */
import * as z from "zod";
import { printable } from "./printable.ts";

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  /** What to write instead, without the text itself: it may hold a secret. */
  | { readonly ok: false; readonly reason: string };

export function accept<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function reject(reason: string): Parsed<never> {
  return { ok: false, reason };
}

/** A text in the manifest, read by `parse`; in the JSON Schema it is a plain string. */
export function parsedText<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const result = parse(text);
    if (result.ok) return result.value;
    context.addIssue({ code: "custom", message: result.reason });
    return z.NEVER;
  });
}

/** Quotes what somebody wrote, to show it back to them. */
export function quoted(text: string): string {
  return `"${printable(text, 80)}"`;
}
