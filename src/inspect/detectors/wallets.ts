import { isBech32 } from "../checks/bech32.ts";
import { isSeedPhrase, SEED_PHRASE_LENGTHS } from "../checks/bip39.ts";
import { BIP39_WORDS } from "../checks/bip39-words.ts";
import { isExtendedPrivateKey, isWif } from "../checks/wallet.ts";
import type { Detector } from "../detector.ts";
import { assignedTo, upTo } from "./patterns.ts";

/** What moves money out of a wallet. */
export const WALLETS: readonly Detector[] = [
  {
    id: "extended-private-key",
    title: "BIP-32 extended private key",
    group: "wallet",
    trigger: { kind: "keyword", keywords: ["xprv", "yprv", "zprv", "tprv", "uprv", "vprv"] },
    pattern: `[xyztuv]prv${upTo("[xyztuv]prv", "[1-9A-HJ-NP-Za-km-z]", 107, 108)}`,
    check: isExtendedPrivateKey,
    source: "https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#serialization-format",
  },
  {
    id: "bitcoin-private-key",
    title: "Bitcoin private key (WIF)",
    group: "wallet",
    trigger: { kind: "run", of: "alphanumerics", min: 51 },
    pattern: "(?<![A-Za-z0-9])[59KLc][1-9A-HJ-NP-Za-km-z]{50,51}(?![A-Za-z0-9])",
    check: isWif,
    source: "https://en.bitcoin.it/wiki/Wallet_import_format",
  },
  {
    // Sixty-four hexadecimal digits are a hash in a million places; only the name beside them tells.
    id: "ethereum-private-key",
    title: "Ethereum private key",
    group: "wallet",
    trigger: {
      kind: "keyword",
      keywords: [
        "private_key",
        "private-key",
        "privatekey",
        "private key",
        "wallet_key",
        "deployer_key",
        "secret_key",
      ],
    },
    pattern: assignedTo("private[ _-]?key|(?:wallet|deployer|secret)_key", "(?:0x)?[0-9a-f]{64}(?![0-9a-z])"),
    ignoreCase: true,
    check: (key) => new Set(key.replace(/^0x/i, "")).size >= 10,
    source: "https://ethereum.org/en/developers/docs/accounts/#externally-owned-accounts-and-key-pairs",
  },
  {
    id: "nostr-secret-key",
    title: "Nostr secret key",
    group: "wallet",
    trigger: { kind: "keyword", keywords: ["nsec1"] },
    pattern: "nsec1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}",
    check: isBech32,
    source: "https://github.com/nostr-protocol/nips/blob/master/19.md",
  },
  {
    id: "seed-phrase",
    title: "BIP-39 seed phrase",
    group: "wallet",
    trigger: { kind: "words", words: BIP39_WORDS, counts: SEED_PHRASE_LENGTHS },
    pattern: "",
    check: (phrase) => isSeedPhrase(phrase.split(" ")),
    source: "https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki",
  },
];
