import { blanked, draw, uuid } from "./draw.ts";
import { known, named, type SecretExample } from "./example.ts";

const SENTRY_CLAIMS = Buffer.from(
  '{"iat":1700000000.1,"url":"https://sentry.io","region_url":"https://us.sentry.io","org":"o"}',
);
const GRAFANA_CLAIMS = Buffer.from(
  `{"o":"42","n":"stack-42-agent","k":"${draw("alnum", 32)}","m":{"r":"eu"}}`,
);

export const MONITORING_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "sentry-token": known(
    "https://docs.sentry.io/account/auth-tokens/",
    [`sntryu_${draw("hex", 64)}`, `sntrys_${SENTRY_CLAIMS.toString("base64")}_${draw("base64", 43)}`],
    [`sntryu_${draw("hex", 63)} `, blanked("sntryu_", 64, "0")],
  ),
  "new-relic-key": known(
    "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
    [`NRAK-${draw("upper", 27)}`, `NRII-${draw("url", 31)}${draw("alnum", 1)}`],
    [`NRAK-${draw("upper", 26)} `, blanked("NRAK-", 27, "X")],
  ),
  "new-relic-license-key": known(
    "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
    [`${draw("hex", 36)}NRAL`],
    [`${draw("hex", 35)}NRAL`, `${"0".repeat(36)}NRAL`, `${draw("hex", 36)}NRALS`],
  ),
  "datadog-key": named(
    "https://docs.datadoghq.com/account_management/api-app-keys/",
    ["DD_API_KEY", "DATADOG_APP_KEY", "dd-api-key"],
    [draw("hex", 32), draw("hex", 40)],
    [
      draw("hex", 32),
      "DD_API_KEY=<your key>",
      blanked("DD_API_KEY=", 32, "0"),
      `DD_API_KEY=${draw("hex", 64)}`,
    ],
  ),
  "grafana-service-account-token": known(
    "https://github.com/grafana/grafana/blob/main/pkg/components/satokengen/tokengen_test.go",
    [["glsa_", "yscW25imSKJIuav8zF37RZmnbiDvB05G", "_fcaaf58a"].join("")],
    [
      ["glsa_", "yscW25imSKJIuav8zF37RZmnbiDvB05G", "_fcaaf58b"].join(""),
      blanked("glsa_", 32),
      `glsa_${draw("alnum", 32)}_${draw("hex", 8)}`,
    ],
  ),
  "grafana-cloud-token": known(
    "https://grafana.com/docs/grafana/latest/developers/http_api/auth/",
    [
      `glc_${GRAFANA_CLAIMS.toString("base64")}`,
      Buffer.from(`{"k":"${draw("alnum", 32)}","n":"ci","id":1}`).toString("base64"),
    ],
    [
      Buffer.from('{"k":"short","id":1,"more":"than enough characters to be long enough here"}').toString(
        "base64",
      ),
      blanked("glc_eyJ", 90),
    ],
  ),
  "honeycomb-key": known(
    "https://docs.honeycomb.io/configure/environments/manage-api-keys/",
    [`hcaik_${draw("lower", 58)}`, `hcxmk_${draw("lower", 58)}`],
    [`hcaik_${draw("lower", 57)} `, blanked("hcaik_", 58)],
  ),
  "dynatrace-token": known(
    "https://docs.dynatrace.com/docs/dynatrace-api/basics/dynatrace-api-authentication#token-format",
    [
      `dt0c01.${draw("base32", 24)}.${draw("base32", 64)}`,
      `dt0s02.${draw("base32", 8)}.${draw("base32", 64)}`,
    ],
    [`dt0c01.${draw("base32", 24)}.${draw("base32", 63)} `, `dt0c01.${"X".repeat(24)}.${"X".repeat(64)}`],
  ),
  "linear-key": known(
    "https://linear.app/developers/graphql",
    [`lin_api_${draw("alnum", 40)}`, `lin_oauth_${draw("hex", 64)}`],
    [`lin_api_${draw("alnum", 39)} `, blanked("lin_api_", 40)],
  ),
  "notion-token": known(
    "https://developers.notion.com/page/changelog (September 2024: ntn_ replaces secret_)",
    [`ntn_${draw("digits", 11)}${draw("alnum", 35)}`, `secret_${draw("alnum", 43)}`],
    [
      `ntn_${draw("alnum", 20)}`,
      blanked("secret_", 43),
      `secret_${draw("hex", 43)}`,
      `client_secret_${draw("alnum", 43)}`,
    ],
  ),
  "figma-token": known(
    "https://developers.figma.com/docs/rest-api/authentication/",
    [`figd_${draw("url", 40)}`],
    [`figd_${draw("url", 39)} `, blanked("figd_", 40)],
  ),
  "postman-key": known(
    "https://learning.postman.com/docs/developer/postman-api/authentication/",
    [`PMAK-${draw("hex", 24)}-${draw("hex", 34)}`],
    [`PMAK-${draw("hex", 24)}-${draw("hex", 33)} `, `PMAK-${"0".repeat(24)}-${"0".repeat(34)}`],
  ),
  "airtable-token": known(
    "https://airtable.com/developers/web/guides/personal-access-tokens",
    [`pat${draw("alnum", 14)}.${draw("hex", 64)}`],
    [
      `pat${draw("alnum", 14)}.${draw("hex", 63)}`,
      `pat${"x".repeat(14)}.${"0".repeat(64)}`,
      "patternFor17Chars.exec(text)",
    ],
  ),
  "asana-token": named(
    "https://developers.asana.com/docs/personal-access-token",
    ["ASANA_ACCESS_TOKEN", "asana_pat"],
    [
      `1/${draw("digits", 16)}:${draw("hex", 32)}`,
      `2/${draw("digits", 16)}/${draw("digits", 16)}:${draw("hex", 32)}`,
    ],
    [
      `1/${draw("digits", 16)}:${draw("hex", 32)}`,
      "ASANA_ACCESS_TOKEN=1/1234:abcd",
      `ASANA_TOKEN=0/${"0".repeat(32)}`,
    ],
  ),
  "okta-token": {
    page: "https://developer.okta.com/docs/guides/create-an-api-token/main/",
    secrets: [`00${draw("url", 40)}`],
    carriers: [(secret) => `Authorization: SSWS ${secret}\r\n`, (secret) => `OKTA_API_TOKEN=${secret}\n`],
    nearMisses: [`00${draw("url", 40)}`, `Authorization: SSWS \${api_token}`, blanked("SSWS 00", 40)],
  },
  "hubspot-token": known(
    "https://developers.hubspot.com/docs/guides/apps/private-apps/overview",
    [`pat-na1-${uuid()}`, `pat-eu1-${uuid()}`],
    [`pat-na1-${draw("hex", 32)}`, "pat-na1-00000000-0000-0000-0000-000000000000"],
  ),
  "contentful-token": known(
    "https://www.contentful.com/developers/docs/references/authentication/",
    [`CFPAT-${draw("url", 43)}`],
    [`CFPAT-${draw("url", 42)} `, blanked("CFPAT-", 43)],
  ),
  "sonar-token": known(
    "https://docs.sonarsource.com/sonarqube-server/latest/user-guide/managing-tokens/",
    ["squ_", "sqp_", "sqa_"].map((prefix) => prefix + draw("hex", 40)),
    [`squ_${draw("hex", 39)}`, blanked("sqp_", 40, "0")],
  ),
  "build-service-token": known(
    "https://circleci.com/changelog/ (personal tokens begin CCIPAT_)",
    [`bkua_${draw("hex", 40)}`, `CCIPAT_${draw("alnum", 22)}_${draw("hex", 40)}`],
    [`bkua_${draw("hex", 39)} `, `CCIPAT_${draw("alnum", 22)}_${draw("hex", 39)} `],
  ),
  "openshift-token": known(
    "https://docs.redhat.com/en/documentation/openshift_container_platform/",
    [`sha256~${draw("url", 43)}`],
    [`sha256~${draw("url", 42)}`, `sha256~${draw("hex", 64)}`, blanked("sha256~", 43)],
  ),
};
