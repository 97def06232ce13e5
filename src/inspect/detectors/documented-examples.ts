/**
 * Values that look like secrets and are not: what providers print in their own documentation and ship with
 * their emulators, so everybody's text is full of them and they open nothing. Kept as hashes (the first 128 bits of
 * SHA-256), so that this file does not set off anybody's scanner, ours included. Policy: a value is listed
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
      "2cafc0970149a84f3b9e62eaf169f36f",
      "f2d6ca16515033e5dce14eba840b979d",
      "7e8de44ea9ecf6d53415c90f5b249a85",
      "69e5a07ccf06bc5ae16c94f439748a58",
      "2d1f7723aabc5c7a51fcdc2463c99b5f",
    ],
  },
  {
    publisher: "jwt.io and PyJWT",
    page: "https://jwt.io/introduction",
    sha256: [
      "7f75367e7881255134e1375e723d1dea",
      "c794fa6d20c64efb9adf980ae93af472",
      "da816f9f2c16e6c5390e7636cadc40c4",
      "52d33e4911386f2d3783c975b45a21da",
      "bf145d9380bbe05bdc1a72525796b224",
    ],
  },
  {
    publisher: "RFC 7515",
    page: "https://datatracker.ietf.org/doc/html/rfc7515#appendix-A.1",
    sha256: ["8d4ef6536dc8895f256c1e0d95dcd197"],
  },
  {
    publisher: "Supabase, local development",
    page: "https://supabase.com/docs/guides/local-development/cli/getting-started",
    sha256: [
      "bf1725a8f98bea37e88618702e725ba8",
      "70541e07fd4f900b66e289f5be55c85f",
      "c85debb55f2f204d868cc1552c42faa1",
    ],
  },
  {
    publisher: "Azurite and the Cosmos DB emulator",
    page: "https://learn.microsoft.com/en-us/azure/storage/common/storage-use-azurite",
    sha256: ["0011cc25eb4320717494d2703e8cba85", "aa6547439583c3a275d4542a0df6c1ad"],
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
      "9c5d0a6656e5d3f36601d0bf98762be0",
    ],
  },
  {
    publisher: "BIP-39 test vectors",
    page: "https://github.com/trezor/python-mnemonic/blob/master/vectors.json",
    sha256: [
      "ecb0e7ba498c5920991f0b3483e91f7a",
      "3a64bcd9cea43c0aba67ba0bf2ddff81",
      "e770e8aa42a869cf269a5bda331f706a",
      "15f41342748aa6c0718a6f4fa4e153ac",
      "3b1c5e02107409ea60548d8d8f686fd8",
      "a5fe1cb4158ffd2a27ae93b5ac617903",
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
      "faf7e1c0107370ff6f5d03205da7d8ae",
      "5488b036f43dca672fa2b95bf5dbb2a3",
      "45c755c9e88ba16735daa1e465dde67b",
      "339f85069d056503edab4f4fc87e144d",
      "cb2609a461853b2a8da2f9392168c656",
      "2847f6106ab6f0da11e73d5c896edc14",
      "701502320c05f830e08c212f53ec9c54",
      "b179add486f3c7e1a11795d0948ce174",
      "f06ea11a3fe02a4e522fc42873c149fa",
      "b84613f12f07e19880a16fd44defa4d9",
      "c498d017d83bf116da548fd5e517645c",
      "5806e726dc53200da69c9c0f4aa696ed",
      "fb9d610d6d51df6a934c6c94406d985e",
      "0669f8f5825f3f3b9d043788445517e5",
      "ecd29df2fbc725616865cc3df7acf380",
      "d83a36c127d39e9eb7ca2c7e5ff2eb34",
      "49343d42c7e89a65ec98c050299f527f",
      "34d9c40d6d8e3e53b85400fc51871b20",
      "e67657c47473d247b58204914d4a276b",
      "f6c8d84f1d6cf66ef9c24795e0d82047",
      "22e7c37a57e30240aa721aa64c150af2",
      "76a477f9d6f5c972a38825a79c99d770",
      "5bc671086b17a960c908fdf0a6feff13",
      "122da061f22f818b2ba8670f61b404a1",
      "2c6264cda4e03839300c8507186a74b4",
      "274325e2aab5c46a199d3530dc1237b3",
      "2582976fd28c2e47ad46710c816f6c49",
      "95c1bd675f346c512da2b6458af97147",
      "15ebdf20e272d2d06ae051d3a473d9b3",
      "8f8e3c05eae306181b07b55c4c822735",
      "9ea841b37d0d90751e025567ac5b5d24",
      "f5e43d20b5f4d1eca8d6c85ceb6f6119",
      "f3a0dc8fcb6a127b4d97137130c4d7c0",
      "1f6b15459e5647fb06e9448a529a112b",
      "ebaf3d3d5f767304ce58f44fd1eb58f3",
      "8538b8ccd0a8af16c6c8a466757589f9",
      "5bf28f4d9e94b0b3e3b280af942d3699",
      "672133eb15b7f9a4f79af64c08213e48",
      "48c3b9d49a32a47cd2fcc7a1679d0efc",
      "95dbcef204cab73c3c196190da21ee4d",
      "377a43b65223d7f141a17f103af2db3c",
      "756e8a524189d2de3c0cfbf25809e725",
      "de8eddab74c22edfc18f3316db27cfe1",
      "91a71b99fd952c89a76ecbf59e20bd1a",
      "92c09c16747a943f3f36638dbb910fa9",
      "6a29655477aa438f55acd05df0718fe2",
      "ca8ea250ff9089fcba8a1301f8462405",
      "099509b96cd877184078f214354e8626",
      "d86e54341f0a64c310e1d813cc8e4524",
      "69835a1db7caab4751bdac114dee6053",
      "9e330f76a0752c4aef7e7911bb685438",
      "2fd0baebb4bba7f3b34d6c64365f4064",
      "e0e176d318ba95f18f952ba80bd795da",
      "030989cb987044345f9fb2572bcb7279",
      "b9643b44509d43489068255bef1135b2",
      "047c0a05371e7241818648d995085e08",
      "3e59794eb9226934e52cb81ddb190c8b",
      "0ebb7e05c1b1e5556df6c5e3c8b1e403",
      "eb67fd9edb2170f0eb9b08b374fc220d",
      "83c1e072e17299fd85f56ce855042c1b",
      "27eff2bf2e168185a21c37b4d72dfd04",
      "fffc90cdec1f606ec62042d16f63885d",
      "39c088fbfc8a9f8c7ce0ccbc76588188",
    ],
  },
  {
    publisher: "Google",
    page: "https://developers.google.com/maps/documentation/javascript/get-api-key",
    sha256: ["ac9265e56c79b234607ec72c53753cfe", "e4902a0b38812b15ed5701b17fd4fd8c"],
  },
];

const HASHES: ReadonlySet<string> = new Set(PUBLISHED.flatMap(({ sha256 }) => sha256));

/** Hexadecimal digits kept of each hash. */
const HASH_LENGTH = 32;

/** Whether `secret` is a published example: as it is, without `0x`, or without the blanks and dashes of numbers. */
export function isDocumentedExample(secret: string): boolean {
  return [secret, secret.replace(/^0x/i, "").toLowerCase(), secret.replace(/[ -]/g, "")].some((form) =>
    HASHES.has(createHash("sha256").update(form, "latin1").digest("hex").slice(0, HASH_LENGTH)),
  );
}
