import { createHash } from "node:crypto";
import { BIP39_WORDS } from "../../../src/inspect/checks/bip39-words.ts";
import { draw } from "./draw.ts";
import { known, named, type SecretExample } from "./example.ts";

const BIP32 = [
  "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvv",
  "NKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
].join("");
const WIF = ["5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4d", "Z1jvhTVqvbTLvyTJ"].join("");
const COMPRESSED_WIF = ["KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2", "LJGU1ZxJwYvP98617"].join("");
const NSEC = ["nsec1vl029mgpspedva04g90vltkh6fvh240zq", "tv9k0t9af8935ke9laqsnlfe5"].join("");

/** The phrase of `bytes` of entropy, as BIP-39 tells to make it. */
function phrase(bytes: Buffer): string {
  const checksum = createHash("sha256").update(bytes).digest();
  const bits = [...bytes, ...checksum].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const count = (bytes.length * 3) / 4;
  return Array.from(
    { length: count },
    (_, i) => BIP39_WORDS[Number.parseInt(bits.slice(i * 11, i * 11 + 11), 2)],
  ).join(" ");
}

const drawn = (length: number) => phrase(Buffer.from(draw("hex", length * 2), "hex"));

/** Phrases are written with slashes here, so that this file holds none. */
const spaced = (phrase: string) => phrase.replaceAll("/", " ");

const VECTOR = spaced("ozone/drill/grab/fiber/curtain/grace/pudding/thank/cruise/elder/eight/picnic");

export const WALLET_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "extended-private-key": known(
    "https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#test-vector-1",
    [BIP32],
    [`${BIP32.slice(0, -1)}j`, `xpub${BIP32.slice(4)}`, `xprv${"A".repeat(107)}`],
  ),
  "bitcoin-private-key": known(
    "https://en.bitcoin.it/wiki/Wallet_import_format",
    [WIF, COMPRESSED_WIF],
    [`${WIF.slice(0, -1)}K`, `5${draw("letters", 50)}`, `x${WIF}`],
  ),
  "ethereum-private-key": named(
    "https://hardhat.org/hardhat-runner/docs/config",
    ["PRIVATE_KEY", "WALLET_KEY", "privateKey"],
    [`0x${draw("hex", 64)}`, draw("hex", 64)],
    [
      `0x${draw("hex", 64)}`,
      `sha256: ${draw("hex", 64)}`,
      // The first account of every Hardhat and Anvil chain.
      `PRIVATE_KEY=0x${["ac0974bec39a17e36ba4a6b4d238ff94", "4bacb478cbed5efcae784d7bf4f2ff80"].join("")}`,
      `PRIVATE_KEY=0x${"0".repeat(63)}1`,
      `PRIVATE_KEY=0x${draw("hex", 40)}`,
    ],
  ),
  "nostr-secret-key": known(
    "https://github.com/nostr-protocol/nips/blob/master/19.md",
    [NSEC],
    [`${NSEC.slice(0, -1)}6`, `nsec1${"q".repeat(58)}`],
  ),
  "seed-phrase": {
    page: "https://github.com/trezor/python-mnemonic/blob/master/vectors.json",
    secrets: [VECTOR, ...[16, 20, 24, 28, 32].map(drawn)],
    carriers: [
      (secret) => secret,
      (secret) => `The wallet: "${secret}".\n`,
      (secret) => secret.replaceAll(" ", "\n"),
      (secret) => JSON.stringify(secret.split(" ")),
      (secret) =>
        secret
          .split(" ")
          .map((word, i) => `${i + 1}. ${word}`)
          .join("\n"),
    ],
    nearMisses: [
      VECTOR.replace("picnic", "zoo"),
      VECTOR.replace(" picnic", ""),
      spaced("abandon/abandon/abandon/abandon/abandon/abandon/abandon/abandon/abandon/abandon/abandon/about"),
      spaced("legal/winner/thank/year/wave/sausage/worth/useful/legal/winner/thank/yellow"),
      spaced("test/test/test/test/test/test/test/test/test/test/test/junk"),
      BIP39_WORDS.join("\n"),
      BIP39_WORDS.slice(100, 400).join(" "),
    ],
  },
};
