import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { base58checkPayload } from "../../../../src/inspect/checks/base58check.ts";
import { isBech32 } from "../../../../src/inspect/checks/bech32.ts";
import { isSeedPhrase } from "../../../../src/inspect/checks/bip39.ts";
import { BIP39_WORDS } from "../../../../src/inspect/checks/bip39-words.ts";
import { isIban } from "../../../../src/inspect/checks/iban.ts";
import { isJson } from "../../../../src/inspect/checks/json.ts";
import { isJwt } from "../../../../src/inspect/checks/jwt.ts";
import { passesLuhn } from "../../../../src/inspect/checks/luhn.ts";
import { isPaymentCard } from "../../../../src/inspect/checks/payment-card.ts";
import { isPlaceholder } from "../../../../src/inspect/checks/placeholder.ts";
import { isRepetitive, looksRandom } from "../../../../src/inspect/checks/randomness.ts";
import { DETECTORS } from "../../../../src/inspect/detectors/index.ts";

/** The Luhn digit by ISO/IEC 7812's own words, another way than the check computes it. */
function withLuhnDigit(digits: string): string {
  const doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
  const sum = [...digits]
    .reverse()
    .reduce((total, digit, i) => total + (i % 2 === 0 ? doubled[Number(digit)]! : Number(digit)), 0);
  return `${digits}${(10 - (sum % 10)) % 10}`;
}

describe("Luhn", () => {
  it("accepts a number with its check digit, and none with another", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{8,18}$/), fc.integer({ min: 1, max: 9 }), (digits, shift) => {
        const right = withLuhnDigit(digits);
        const last = Number(right.at(-1));
        expect(passesLuhn(right)).toBe(true);
        expect(passesLuhn(`${digits}${(last + shift) % 10}`)).toBe(false);
      }),
    );
  });
});

describe("payment cards", () => {
  const issued: readonly (readonly [string, number])[] = [
    ["4", 16],
    ["51", 16],
    ["55", 16],
    ["2221", 16],
    ["2720", 16],
    ["34", 15],
    ["37", 15],
    ["300", 14],
    ["305", 14],
    ["36", 14],
    ["38", 14],
    ["39", 14],
    ["6011", 16],
    ["644", 16],
    ["659", 16],
    ["3528", 16],
    ["3589", 16],
    ["622126", 16],
    ["622925", 16],
    ["624", 16],
    ["626", 16],
  ];
  it.each(issued)("accepts %s… of %i digits", (prefix, length) => {
    const body = `${prefix}8317492605817394`.slice(0, length - 1);
    expect(isPaymentCard(withLuhnDigit(body))).toBe(true);
  });

  it.each(["1", "56", "2220", "2721", "33", "306", "6012", "643", "3527", "3590", "627", "7", "9"])(
    "refuses %s…, which nobody issues",
    (prefix) => {
      for (const length of [14, 15, 16]) {
        expect(isPaymentCard(withLuhnDigit(`${prefix}8317492605817394`.slice(0, length - 1)))).toBe(false);
      }
    },
  );

  it("refuses a range in a length it has not, and mixed grouping", () => {
    expect(isPaymentCard(withLuhnDigit("48317492605817"))).toBe(false);
    const visa = withLuhnDigit("483174926058173");
    expect(
      isPaymentCard(`${visa.slice(0, 4)} ${visa.slice(4, 8)} ${visa.slice(8, 12)} ${visa.slice(12)}`),
    ).toBe(true);
    expect(
      isPaymentCard(`${visa.slice(0, 4)}-${visa.slice(4, 8)} ${visa.slice(8, 12)} ${visa.slice(12)}`),
    ).toBe(false);
  });
});

describe("IBAN", () => {
  // One of each of some countries, as their central banks print them.
  const registry: readonly string[] = [
    ["AD", "1200012030200359100100"],
    ["AL", "47212110090000000235698741"],
    ["AZ", "21NABZ00000000137010001944"],
    ["BH", "67BMAG00001299123456"],
    ["BR", "1800360305000010009795493C1"],
    ["CR", "05015202001026284066"],
    ["DO", "28BAGR00000001212453611324"],
    ["FO", "6264600001631634"],
    ["GE", "29NB0000000101904917"],
    ["GI", "75NWBK000000007099453"],
    ["GL", "8964710001000206"],
    ["GT", "82TRAJ01020000001210029690"],
    ["IL", "620108000000099999999"],
    ["JO", "94CBJO0010000000000131000302"],
    ["KW", "81CBKU0000000000001234560101"],
    ["KZ", "86125KZT5004100100"],
    ["LB", "62099900000001001901229114"],
    ["MC", "5811222000010123456789030"],
    ["MD", "24AG000225100013104168"],
    ["ME", "25505000012345678951"],
    ["MK", "07250120000058984"],
    ["MR", "1300020001010000123456753"],
    ["MU", "17BOMM0101101030300200000MUR"],
    ["PK", "36SCBL0000001123456702"],
    ["PS", "92PALS000000000400123456702"],
    ["QA", "58DOHB00001234567890ABCDEFG"],
    ["RS", "35260005601001611379"],
    ["SM", "86U0322509800000000270100"],
    ["TN", "5910006035183598478831"],
    ["UA", "213223130000026007233566001"],
    ["VG", "96VPVG0000012345678901"],
    ["XK", "051212012345678906"],
  ].map((parts) => parts.join(""));
  it.each(registry)("accepts the registry's %s, with blanks and without", (iban) => {
    expect(isIban(iban)).toBe(true);
    expect(isIban(iban.replace(/(.{4})(?=.)/g, "$1 "))).toBe(true);
  });

  it("refuses every change of one digit", () => {
    const iban = ["GB98", "MIDL07009312345678"].join("");
    for (let i = 8; i < iban.length; i++) {
      const digit = (Number(iban[i]) + 1) % 10;
      expect(isIban(`${iban.slice(0, i)}${digit}${iban.slice(i + 1)}`)).toBe(false);
    }
    expect(isIban("GB98 MIDL0700 9312 3456 78")).toBe(false);
  });
});

describe("base58check and bech32", () => {
  it("give up what the checksum does not cover", () => {
    const wif = ["5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4d", "Z1jvhTVqvbTLvyTJ"].join("");
    expect(base58checkPayload(wif)?.toString("hex")).toMatch(/^800c28fca386c7a2276/);
    expect(base58checkPayload(wif.replace("H", "J"))).toBeUndefined();
    expect(base58checkPayload("0OIl")).toBeUndefined();
    expect(base58checkPayload("")).toBeUndefined();
  });

  it.each([
    "A12UEL5L",
    "a12uel5l",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
  ])("accepts BIP-173's valid %s", (text) => expect(isBech32(text)).toBe(true));
  it.each(["A12uEL5L", "a12uel5m", "10a06t8", "1qzzfhee", "pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3"])(
    "refuses BIP-173's invalid %s",
    (text) => expect(isBech32(text)).toBe(false),
  );
});

describe("BIP-39", () => {
  it("has the list of the standard: 2048 words in order, told by four letters", () => {
    expect(BIP39_WORDS.length).toBe(2048);
    expect([...BIP39_WORDS].sort()).toEqual(BIP39_WORDS);
    expect(new Set(BIP39_WORDS.map((word) => word.slice(0, 4))).size).toBe(2048);
  });

  it("accepts one word in sixteen as the last of twelve", () => {
    const eleven = "ozone/drill/grab/fiber/curtain/grace/pudding/thank/cruise/elder/eight".split("/");
    expect(BIP39_WORDS.filter((word) => isSeedPhrase([...eleven, word])).length).toBe(128);
  });

  it("refuses other counts, unknown words, words in order and few different words", () => {
    const phrase = "ozone/drill/grab/fiber/curtain/grace/pudding/thank/cruise/elder/eight/picnic".split("/");
    expect(isSeedPhrase(phrase)).toBe(true);
    expect(isSeedPhrase(phrase.slice(1))).toBe(false);
    expect(isSeedPhrase([...phrase.slice(0, 11), "picnics"])).toBe(false);
    expect(BIP39_WORDS.filter((_, i) => isSeedPhrase(BIP39_WORDS.slice(i, i + 12)))).toEqual([]);
    expect(isSeedPhrase([...Array<string>(11).fill("abandon"), "about"])).toBe(false);
  });
});

describe("placeholders and randomness", () => {
  it.each([
    "password",
    "changeme",
    "<password>",
    "xxxxxxxx",
    "****",
    "your-password-here",
    "mypassword",
    "p4ssw0rd",
    "{{ secret }}",
    "$PGPASSWORD",
    "...",
    "example123".slice(0, 7),
  ])("takes %s for a placeholder", (value) => expect(isPlaceholder(value)).toBe(true));
  it.each(["Tr0ub4dor&3", "kX9vQ2mL7pRz", "correct-horse-battery-staple"])("takes %s for a value", (value) =>
    expect(isPlaceholder(value)).toBe(false),
  );

  it("takes what is drawn for random, and identifiers, counters and repetitions not", () => {
    for (const value of [
      "getUserNameFromDatabaseRow",
      "AAAAAAAAAAAAAAAAAAAAAAAA",
      "1234567890abcdefghij1234",
      "abc1abc1abc1abc1abc1abc1",
    ]) {
      expect(looksRandom(value), value).toBe(false);
    }
    // A run goes on over what separates.
    expect(looksRandom("nO2Yu9Fs2J0ZAAA-AA_AAA-AAA")).toBe(false);
    expect(looksRandom("q7Zk2VwX9mB4tR8sL3nD")).toBe(true);
  });

  it("regression: knows letters drawn at random from words, where chance left the digits out", () => {
    for (const value of ["OOpdzOckhHYGeBObmIOh", "qKvWzTbRmNpLsXcDyFgH"])
      expect(looksRandom(value), value).toBe(true);
    for (const value of [
      "MyGitLabAccessTokenXY",
      "readTheResponseOfUrl",
      "YOURTOKENHEREYOURTOK",
      "exampletokenvaluehere",
    ])
      expect(looksRandom(value), value).toBe(false);
  });

  it("is told from what repeats itself as a pattern would tell it", () => {
    const text = fc
      .tuple(
        fc.string({ maxLength: 5, unit: fc.constantFrom("a", "b", "c") }),
        fc.nat(6),
        fc.string({ maxLength: 6 }),
      )
      .map(([block, times, rest]) => rest + block.repeat(times) + rest);
    fc.assert(
      fc.property(text, (value) => {
        expect(isRepetitive(value)).toBe(/([\s\S])\1{4}|([\s\S]{3,12})\2{2}/.test(value));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("JSON", () => {
  it("is told from what is none as JSON.parse would tell it", () => {
    const near =
      /^(?:[{}[\]:,"\\ \n0]|"[a\u0001\u007f]?"|"\\[nux"]"|"\\u00e9"|"\ud800"|-?[01]{1,2}|1?\.5?|1[eE][+-]?3?|true|null|nul|\ufeff|\u2028)$/;
    const piece = fc.stringMatching(near);
    const value = fc.json({ maxDepth: 4 });
    const text = fc.oneof(
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
      fc
        .tuple(value, fc.nat(40), piece)
        .map(([json, at, other]) => json.slice(0, at) + other + json.slice(at)),
      value,
    );
    fc.assert(
      fc.property(text, (json) => {
        expect(isJson(json)).toBe(parses(json));
      }),
      { numRuns: 5000 },
    );
    expect(isJson("[".repeat(20_000) + "]".repeat(20_000))).toBe(true);
  });

  function parses(json: string): boolean {
    try {
      JSON.parse(json);
      return true;
    } catch {
      return false;
    }
  }
});

describe("checks", () => {
  it("never throw, whatever they are given", () => {
    const checks = DETECTORS.flatMap(({ check }) => (check === undefined ? [] : [check]));
    const hostile = fc.oneof(
      fc.string({ maxLength: 300, unit: "binary" }),
      fc.stringMatching(/^[A-Za-z0-9+/=._ -]{0,200}$/),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        expect(checks.every((check) => typeof check(text) === "boolean")).toBe(true);
      }),
      { numRuns: 40 },
    );
    expect(isJwt("..")).toBe(false);
  }, 30_000);
});
