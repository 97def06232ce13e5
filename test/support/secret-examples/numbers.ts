import { known, type SecretExample } from "./example.ts";

/** Groups a number as printed on a card. */
function printed(digits: string, separator: string): string {
  const groups = digits.length === 16 ? [4, 4, 4, 4] : [4, 6, digits.length - 10];
  const [first = 0, second = 0] = groups;
  const rest = digits.slice(first + second);
  const tail = groups.length === 4 ? [rest.slice(0, 4), rest.slice(4)] : [rest];
  return [digits.slice(0, first), digits.slice(first, first + second), ...tail].join(separator);
}

// From the test pages of Worldpay, Cybersource and dLocal: no card of anybody's, and not on the list of published examples.
const VISA = ["4539", "1488", "0343", "6467"].join("");
const MASTERCARD = ["5425", "2334", "3010", "9903"].join("");
const NEW_MASTERCARD = ["2223", "0000", "4841", "0010"].join("");
const AMEX = ["3742", "4545", "5400", "126"].join("");
const WRONG = ["4539", "1488", "0343", "6468"].join("");

export const CARD_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "payment-card": {
    page: "https://docs.dlocal.com/docs/test-cards",
    secrets: [VISA, MASTERCARD, NEW_MASTERCARD, AMEX].flatMap((card) => [
      printed(card, " "),
      printed(card, "-"),
    ]),
    carriers: [
      (card) => `please charge ${card}, thank you`,
      (card) => `"n": "${card}"`,
      (card) => `${card} 12/27`,
    ],
    nearMisses: [
      printed(WRONG, " "),
      printed(["4242", "4242", "4242", "4242"].join(""), " "),
      printed(["5555", "5555", "5555", "4444"].join(""), "-"),
      `9${printed(VISA, " ")}`,
      `${printed(VISA, " ")} 2281 3344`,
      `00000010: ${printed(VISA, " ")} 2f6c 6962  E9.....g/lib`,
      `00000010: 7f45 4c46 0201 ${printed(VISA, " ")} 0f05  .ELF...E9.....\n`,
      `00000010: 7f45 4c46 0201 0100 ${printed(VISA, " ")}  .ELF....E9......\n`,
      "4539-1488 0343-6467",
      "2231 2237 2242 2248",
      "0000 1111 2222 3333",
    ],
  },
  "payment-card-named": {
    page: "https://developer.cybersource.com/hello-world/testing-guide.html",
    secrets: [VISA, MASTERCARD, AMEX],
    carriers: [
      (card) => `{"card": {"number": "${card}", "exp_month": 12}}`,
      (card) => `credit_card_number=${card}&cvc=123`,
      (card) => `ccnum: ${card}\n`,
    ],
    nearMisses: [
      VISA,
      `id=${VISA}`,
      `card_number=${WRONG}`,
      `card_id=${VISA}0`,
      `card=${["4012", "8888", "8888", "1881"].join("")}`,
      "wildcard 1700000000000000",
      `card 0.${VISA}`,
    ],
  },
};

export const BANK_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  iban: known(
    "https://www.iban.com/structure (examples that are not the registry's own)",
    [
      ["GB", "98", "MIDL", "07009312345678"].join(""),
      ["GB98 MIDL", "0700 9312 3456 78"].join(" "),
      ["NL", "02", "ABNA", "0123456789"].join(""),
      ["CH", "56", "04835012345678009"].join(""),
    ],
    [
      ["GB", "98", "MIDL", "07009312345679"].join(""),
      ["GB", "98", "MIDL", "0700931234567"].join(""),
      ["GB", "82", "WEST", "12345698765432"].join(""),
      ["DE", "89", "370400440532013000"].join(""),
      ["ZZ", "98", "MIDL", "07009312345678"].join(""),
      ["xGB", "98", "MIDL", "07009312345678"].join(""),
      "DE00000000000000000066",
    ],
  ),
};
