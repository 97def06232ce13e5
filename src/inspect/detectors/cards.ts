import { isPaymentCard } from "../checks/payment-card.ts";
import type { Detector } from "../detector.ts";
import { upTo } from "./patterns.ts";

/** What a card's number is called. */
const NAMES = 'card|credit|cc[_-]?num|visa|amex|cvv|"?pan["=]';

/** Payment card numbers. */
export const CARDS: readonly Detector[] = [
  {
    // As printed: the grouping tells it from the identifiers and timestamps that pass Luhn by chance. A file's dump
    // has groups of four as well: another in hexadecimal comes behind them, or the line's sixteen characters.
    id: "payment-card",
    title: "Payment card number, grouped as printed",
    group: "card",
    trigger: { kind: "run", of: "digits", min: 14 },
    pattern:
      "(?<![\\w.,$-])(?:\\d{4}[ -]\\d{4}[ -]\\d{4}[ -]\\d{4}|3\\d{3}[ -]\\d{6}[ -]\\d{4,5})(?![\\w]|[.,-]\\d| [\\da-f]{4}\\b|  [^\\n]{16}(?:\\n|$))",
    check: isPaymentCard,
    source: "https://www.iso.org/standard/70484.html",
  },
  {
    // Two in a hundred numbers of 16 digits pass for cards: without grouping, a word nearby must say what it is.
    id: "payment-card-named",
    title: "Payment card number in a field or sentence that names it",
    group: "card",
    trigger: {
      kind: "keyword",
      keywords: ["card", "credit", "ccnum", "cc_num", "cc-num", "visa", "amex", "cvv", '"pan"', "pan="],
    },
    pattern: `(?:${NAMES})${upTo(NAMES, "[^\\d]", 0, 60)}(?<![\\w.,$-])(?<secret>\\d{14,16})(?![\\w-]|[.,]\\d)`,
    ignoreCase: true,
    check: isPaymentCard,
    source: "https://www.iso.org/standard/70484.html",
  },
];
