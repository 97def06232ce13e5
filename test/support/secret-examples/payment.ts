import { blanked, draw, uuid } from "./draw.ts";
import { known, named, type SecretExample } from "./example.ts";

const STRIPE = "https://docs.stripe.com/keys-best-practices";

export const PAYMENT_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "stripe-live-key": known(
    STRIPE,
    [`sk_live_51${draw("alnum", 97)}`, `rk_live_51${draw("alnum", 97)}`, `sk_live_${draw("alnum", 24)}`],
    [
      blanked("sk_live_", 24),
      `pk_live_${draw("alnum", 24)}`,
      "sk_live_yourkey",
      "rk_live_paymentIntentConfirmation",
    ],
  ),
  "stripe-test-key": known(
    STRIPE,
    [`sk_test_51${draw("alnum", 97)}`, `rk_test_${draw("alnum", 24)}`],
    [
      // Stripe's own sample, in every snippet of its documentation.
      ["sk_test_", "4eC39HqLyjWDarjtT1zdp7dc"].join(""),
      ["sk_test_", "BQokikJOvBiI2HlWgH4olfQ2"].join(""),
      blanked("sk_test_", 24),
      "sk_test_1234567890abcdefghijklmn",
    ],
  ),
  "stripe-webhook-secret": known(
    "https://docs.stripe.com/webhooks#verify-official-libraries",
    [`whsec_${draw("alnum", 32)}`, `whsec_${draw("hex", 64)}`],
    [blanked("whsec_", 32), `whsec_${draw("alnum", 12)}`],
  ),
  "square-token": known(
    "https://developer.squareup.com/docs/devtools/sandbox/overview",
    [`sq0atp-${draw("url", 22)}`, `sq0csp-${draw("url", 43)}`, `EAAAE${draw("url", 58)}${draw("alnum", 1)}`],
    [
      blanked("sq0csp-", 43),
      `sq0idp-${draw("url", 22)}`,
      `EAAAE${draw("alnum", 40)}`,
      "mappings;EAAA,EAAAE,CAAA;EAAAE",
    ],
  ),
  "shopify-token": known(
    "https://shopify.dev/changelog/app-secret-key-length-has-increased",
    ["shpat_", "shpca_", "shppa_", "shpss_"].map((prefix) => prefix + draw("hex", 32)),
    [`shpat_${draw("hex", 31)} `, blanked("shpat_", 32, "0")],
  ),
  "braintree-access-token": known(
    "https://developer.paypal.com/braintree/docs/guides/extend/oauth/access-tokens",
    [["access_token", "production", draw("lower", 16), draw("hex", 32)].join("$")],
    [
      ["access_token", "production", draw("lower", 16), draw("hex", 31)].join("$"),
      "access_token$production$xxxx$xxxx",
    ],
  ),
  "paypal-client-secret": named(
    "https://developer.paypal.com/api/rest/#link-getcredentials",
    ["PAYPAL_CLIENT_SECRET", "paypal.secret"],
    [`E${draw("url", 79)}`],
    [`E${draw("url", 79)}`, blanked("PAYPAL_SECRET=E", 79), `PAYPAL_SECRET=E${draw("url", 50)}`],
  ),
  "adyen-api-key": known(
    "https://docs.adyen.com/development-resources/api-credentials/",
    [`AQEyhmfxK4LHaBxFw0m${draw("base64", 60)}=-${draw("base64", 43)}=-${draw("upper", 16)}`],
    [`AQEyhmfx${draw("base64", 100)}`, blanked("AQE", 60)],
  ),
  "plaid-access-token": known(
    "https://plaid.com/docs/api/items/",
    [`access-production-${uuid()}`, `access-sandbox-${uuid()}`],
    [`access-production-${draw("hex", 32)}`, "access-sandbox-00000000-0000-0000-0000-000000000000"],
  ),
};
