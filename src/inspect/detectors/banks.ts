import { IBAN_PATTERN, isIban } from "../checks/iban.ts";
import type { Detector } from "../detector.ts";

/** Bank account numbers. */
export const BANKS: readonly Detector[] = [
  {
    id: "iban",
    title: "International bank account number",
    group: "bank",
    trigger: { kind: "run", of: "capitals", min: 15 },
    pattern: `(?<![A-Za-z0-9])(?:${IBAN_PATTERN})(?![A-Za-z0-9])`,
    check: isIban,
    source: "https://www.swift.com/standards/data-standards/iban-international-bank-account-number",
  },
];
