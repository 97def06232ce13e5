import { passesLuhn } from "./luhn.ts";

/** Who issues which numbers: first digits, inclusive, all of one width, and the lengths in use. */
interface Issuer {
  readonly from: number;
  readonly to: number;
  readonly lengths: readonly number[];
}

/**
 * Ranges in use by the networks that issue to consumers. Narrower than ISO/IEC 7812 allows on purpose: each
 * further range and length lets through more order numbers and timestamps that happen to pass Luhn.
 */
const ISSUERS: readonly Issuer[] = [
  { from: 4, to: 4, lengths: [16] }, // Visa; its 13 digits are history, its 19 are not issued to consumers
  { from: 51, to: 55, lengths: [16] }, // Mastercard
  { from: 2221, to: 2720, lengths: [16] }, // Mastercard, since 2017
  { from: 34, to: 34, lengths: [15] }, // American Express
  { from: 37, to: 37, lengths: [15] },
  { from: 300, to: 305, lengths: [14] }, // Diners Club
  { from: 36, to: 36, lengths: [14] },
  { from: 38, to: 39, lengths: [14] },
  { from: 6011, to: 6011, lengths: [16] }, // Discover
  { from: 644, to: 659, lengths: [16] },
  { from: 3528, to: 3589, lengths: [16] }, // JCB
  { from: 622126, to: 622925, lengths: [16] }, // UnionPay, shared with Discover
  { from: 624, to: 626, lengths: [16] },
];

/** Groups as printed on cards: 4-4-4-4, or 4-6-4 and 4-6-5. */
const PRINTED = /^(?:\d{13,16}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})$/;

/**
 * Fewer different digits than this are made up (4111 1111 1111 1111) or a code over few signs; of random numbers
 * one in a hundred.
 */
const MIN_DIFFERENT_DIGITS = 6;

/**
 * Neighbouring groups closer than this are a row of a table (`2298 2299 3120 3121`), as numbers in tables are near
 * each other; so are three cards in a hundred, which only a name beside them gives away.
 */
const NEAR = 50;

/**
 * Whether `text`, digits with the blanks or dashes printed on cards, is a number an issuer gives out:
 * range, length, grouping and Luhn digit. The networks' own test numbers are issued numbers too; those are
 * published and listed in documented-examples.ts.
 */
export function isPaymentCard(text: string): boolean {
  if (!PRINTED.test(text)) return false;
  if (isTableRow(text.split(" ").map(Number))) return false;
  const digits = text.replace(/[ -]/g, "");
  if (new Set(digits).size < MIN_DIFFERENT_DIGITS) return false;
  const issued = ISSUERS.some(({ from, to, lengths }) => {
    const head = Number(digits.slice(0, String(from).length));
    return head >= from && head <= to && lengths.includes(digits.length);
  });
  return issued && passesLuhn(digits);
}

function isTableRow(groups: readonly number[]): boolean {
  return groups.some((group, i) => i > 0 && Math.abs(group - (groups[i - 1] ?? 0)) < NEAR);
}
