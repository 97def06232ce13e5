/**
 * Values that look like secrets and are not: what providers print in their own documentation and ship with
 * their emulators, so everybody's text is full of them and they open nothing. Kept as hashes (the first 128 bits of
 * SHA-256, small letters, without blanks and dashes), so that this file does not set off anybody's scanner, ours included. Policy: a value is listed
 * when its provider publishes it for all to use, with the page; AWS's, which all end in EXAMPLE or
 * EXAMPLEKEY, are told by that ending instead.
 */

import { createHash } from "node:crypto";

interface Published {
  readonly publisher: string;
  readonly page: string;
  readonly sha256: readonly string[];
}

const PUBLISHED: readonly Published[] = [
  {
    publisher: "Stripe",
    page: "https://docs.stripe.com/keys",
    sha256: [
      "414b0f60b0b31da2fe9712ff7576cbc1",
      "5029ac078774af822781e5f76f61b840",
      "60d840c172974991ea539cd24c216225",
      "9b46feaae61725eb3876a54e741c80cf",
      "2aebabfb53b3f1b56d609911be4688e4",
    ],
  },
  {
    publisher: "jwt.io and PyJWT",
    page: "https://jwt.io/introduction",
    sha256: [
      "4818806648ce94668c21c5dcf8c2b270",
      "0e74da9e76ba38a8f46c9270d768be04",
      "e55621691eda3df170c70b9e2f9a699f",
      "263acb4a565c53c019ef0e59a6d7f362",
      "12ac252c02647eee15d156fcf3466ba7",
    ],
  },
  {
    publisher: "RFC 7515",
    page: "https://datatracker.ietf.org/doc/html/rfc7515#appendix-A.1",
    sha256: ["d34cb6f03795755c5349a64c4de87204"],
  },
  {
    publisher: "Supabase, local development",
    page: "https://supabase.com/docs/guides/local-development/cli/getting-started",
    sha256: [
      "d491f4a059d7b34760bdd5c30e7cff9a",
      "34974819bd763e13cb4a5a848498362b",
      "086c6a184a47940686a36ad818706c36",
    ],
  },
  {
    publisher: "Azurite and the Cosmos DB emulator",
    page: "https://learn.microsoft.com/en-us/azure/storage/common/storage-use-azurite",
    sha256: ["034682f91502ec7159a460681325f771", "39a92138de4cbc43ef7bdbd57dab2c6b"],
  },
  {
    publisher: "Hardhat, Foundry and Ganache, local chains",
    page: "https://hardhat.org/hardhat-network/docs/reference",
    sha256: [
      "bc1a50966c9e6486bc4ebf880b51611a",
      "8335c55334821eefd4334369ff9c04a8",
      "b26ab6529d20ebebb4192256f2029847",
      "64034b44c579b335ab5e85debbfe7278",
      "4d3e46eec8244d1d106f866ee48994f6",
      "578592185588730b9d10b87e2274706a",
      "ebfb2eeca67d7fbe8af570010af10f80",
    ],
  },
  {
    publisher: "BIP-39 test vectors",
    page: "https://github.com/trezor/python-mnemonic/blob/master/vectors.json",
    sha256: [
      "839fdb5cdb0358d2bcbd689346e626cf",
      "c9e9788f3ddbfcbbde9493ac69506175",
      "7b68cb862dc4f44631d7cc7655154fb6",
      "89550d81e8997f8c0ebc10eea0aa9f99",
      "840ffbe2f920102fe4a72e24a9387a55",
      "2f2dad3231e16e270526f4265e44e9b9",
    ],
  },
  {
    publisher: "Test numbers of the card networks and of Stripe, Adyen and Braintree",
    page: "https://docs.stripe.com/testing#cards",
    sha256: [
      "477bba133c182267fe5f086924abdc5d",
      "dd13cdf9af9dd3baf46ce96aecd7163c",
      "9bbef19476623ca56c17da75fd57734d",
      "68594afe9c9cda525f6aca7a7316ca06",
      "2f725bbd1f405a1ed0336abaf85ddfeb",
      "304945e91de3deff52a61d08733141d7",
      "576c15a8072461c216efb9bd7306a6fc",
      "b40e9bc7a74d50ab4f006ab0d3e85a8b",
      "3cc8217a6aad545082e07e563edeec44",
      "3a134ef77d4e2e4cdad2d2945ff1f76c",
      "53a8fc816e63b7a5ccd17aaff93f28bc",
      "273476b83f26d858e3e62e1fc042e069",
      "19ff47cc8024c133d5845d3f8938caca",
      "d8086d483c15c711ebba19f966b97d3c",
      "8c8bf8372ef130a60ac541c516042580",
      "51a4ae4c6ae999146474a67cbcb3b05f",
      "10f6a49b3088d98187bf43161da352a7",
      "f41e7ca4a3d71c4f047581f2ae2d6a8d",
      "20e6583871d36495e2beca33ecfc369c",
      "e3294d7ab45a41b571afe82b95423385",
      "1c9d38ed26cd808fa3b02b9b3b988a7c",
      "d79449f462cec9af0d857c3e1af888d4",
      "c598d138de1c5d049a9108a009924a72",
      "7cbcc57fc39e4317fa8d55bb2d442f82",
      "46a849204eaec3f01c9b0db776dad392",
      "d06804b9a0089cf547d3f791ce8ae335",
      "1d942407169d8f20c6f6152ff0c398ad",
      "75997d50623ab744b69bf6d32eb00c40",
      "e41378388bbf954d31c7045a769382c6",
      "e5de3c3d9fcb43b15abddceb57a9f700",
      "acd08f29a41f2e55ab0c4f774b1562b0",
      "1789612b7ca1f7d829a85f8996d6c12b",
      "975136130120262dd3a5716447bbcab6",
      "f2e5869113fb2e20e8797fa14432dbb4",
      "cb23c1fa4646a963deaaeb0bb3f5d988",
      "d516aad436666992226d2f194c458ba6",
      "6923dd35bcc8208b7f0234818c7a76e8",
      "21063384ec7875f6a5c7f50f48487470",
      "259574b62f6e97a1b7bac968642ddbd9",
      "0ba80f703c657bed3cf0281f6a545f15",
      "f561bab6514c4256b0846e34ca2d09b1",
      "f707fea770bb1731977e91e735fe36a7",
      "c8d3a8026f8efb4d180b4609e9d00baa",
      "44d1fb5dc4a2717ff21b10e26a70a531",
      "49ed370182b3e634b99a7cb7dc4eb2c1",
      "c32066eec7feb6582d3c0390eb4d23b4",
      "dd34ed4550cb927d83f22b44a13895c2",
      "b5f0856bd625aa220447db43e7099ab7",
      "e523a5e893d92b674413849374a7da00",
      "ed01ed8cc1126805e7c9b7f864748fbe",
      "5148922729695fb33ffe249a06b12441",
      "26570fdcfdb405089e25d394699b373f",
      "d33af9df935643c346121120fcbde027",
      "add63fae0091c12aaaa4141964f2a4c0",
      "130cdd35bb361fdc05f21597fb259790",
      "40da4cf56e5ecd06a5e31747c38b84e1",
    ],
  },
  {
    publisher: "Examples of the IBAN registry",
    page: "https://www.swift.com/standards/data-standards/iban-international-bank-account-number",
    sha256: [
      "9cf685bd65e3490c3b76c1f9882ce77a",
      "b7bb591bb691fd7d18bb94f7848d410b",
      "1325939b0f8a686d2c7afe72f1ecf670",
      "050639acb4e3f2caf82f5a7faa31fb61",
      "69d87d6170378c633ee4c77ea4310590",
      "7df66514951be48a605cdfcb6d7103d8",
      "8bccb7e96009fdbd077471884d187bf5",
      "9d6c029b92241969b9ddc17358b11bc9",
      "483e6ae6f5eef681c937aea194c1a07b",
      "790ac2dfefab69991e146e0490a85692",
      "e6732430e95115f44021f2ed3c9c6dd1",
      "5ab09e0ce9fa35242f53f56033fef91d",
      "b4ec531c80596d06bcae3d3289a19d9c",
      "c050630d9f7866c6c02b3fe80def3021",
      "d19958c239c36608939ea4ab02cadb89",
      "0555f1f0ae95f1bfeac56dcab60f6563",
      "b7f963e303bbc88340a041364f7ee39d",
      "11556ba4350be6b799f80d790ed60d15",
      "41ce0b1c8dde6aa69b674290de974f0c",
      "4e430a5ed29406d12f313cf234f72116",
      "ba7aa1fe5c566374d3f515c2c73010eb",
      "e59065f123cc74f42a31f2247acc4d30",
      "38e104119423d7d1f6e634c6b60b3a68",
      "2982429976f233f85ab9d7b914f20c2e",
      "362d2bd2243c8eee955a6345ba4a2302",
      "489a8d2a01e1786392ca48eb330945c6",
      "5195f2b52dbccd4f25773a77dba458e0",
      "23da29eb378cb972a4595d3cbf0a530f",
      "a2e445228bfadbac8481407742413463",
      "12cff4caea7b193400c4a9be8868ebde",
      "aea24d5cb66c703238730240501b542d",
      "8d9bb047f31b5a25a953d15b999d93b6",
      "6baae03cc0ce399d37a5312a44d2bf0a",
      "f78780071bd4c6c281b205562ade9f63",
      "806ad8aae8131157538bba7f88a6306b",
      "6a1d6ca4ae56be66152e74afde360eb7",
      "609b425864fccc36a0ff98b99417e235",
      "45b9b2caf7b7219c97b20ca9b8e4cd41",
      "1e8f5848db4b754d302cde945e15a08d",
      "61f42b4a2dc41d995d89a408d12051a0",
      "7fbe80eadf109adbc59d6677a97677cd",
      "d2649a5f25c620fbd44dbd658fc5be63",
      "d69fc7d16898f3cbd50d7d4b73dacc67",
      "480a705e5ddc6a56e4c6e2ec09af271c",
      "79cf077afef144f402469ad58b0c4965",
      "901f0bcd4a62caf1ad0b3b2fabb436b7",
      "28da92444a7ea3636b190d3c7ed2cdb6",
      "144ec3f10606bbcdaa18abca1d6497a2",
      "2f09aa623f8729a454966106fda21ae2",
      "d3fe5a5f6598899f913ee792ec51d866",
      "9c61be917d7d80f814002eaaf3c09bac",
      "ed71b9cf00c993c10eac767c1b3d3d9c",
      "a0aa984a33f3e9e169ff063dc3fd1e46",
      "c754ec3ddf3be85790fe47d14f37bb3c",
      "5b2bc65f569fd0454a0a7f290f88add0",
      "e7bd6485ff45475b4748f136cdc6ccae",
      "49513dab5fcebd5578cfcdf0af5e4d04",
      "12b41833ecaa287b2bd8dcd8586c885f",
      "198d6158feff2dc095781494968aa6a5",
      "a89e9f99e335f3efccdafe3367e34362",
      "3fb784ca8c0ea0a71b8631bf59574916",
      "dd930559ebdfaaebc872a2a7d6322f9c",
      "1817cb8861b63f6f2343a236c956ac00",
    ],
  },
  {
    publisher: "Google",
    page: "https://developers.google.com/maps/documentation/javascript/get-api-key",
    sha256: ["5c265e2afe087ad8f4cdef668ecbab41", "3f2e346d31f970684d6e9bccc1353353"],
  },
];

const HASHES: ReadonlySet<string> = new Set(PUBLISHED.flatMap(({ sha256 }) => sha256));

/** Hexadecimal digits kept of each hash. */
const HASH_LENGTH = 32;

/** Whether `secret` is a published example, whatever its case, grouping or `0x`. */
export function isDocumentedExample(secret: string): boolean {
  const bare = secret.replace(/^0x/i, "").replace(/[ -]/g, "").toLowerCase();
  return HASHES.has(createHash("sha256").update(bare, "latin1").digest("hex").slice(0, HASH_LENGTH));
}
