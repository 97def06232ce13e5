import { endsInHexCrc32 } from "../checks/crc32.ts";
import { isMixedCase, looksRandom } from "../checks/randomness.ts";
import type { Detector } from "../detector.ts";
import { assignedTo, nameOf, UUID, upTo } from "./patterns.ts";

/** Tokens of monitoring, analytics, design, planning, identity and build services. */
export const MONITORING: readonly Detector[] = [
  {
    id: "sentry-token",
    title: "Sentry organisation or user token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["sntrys_eyJ", "sntryu_"] },
    pattern: "(?:sntrys_eyJ[A-Za-z0-9+/=]{60,400}_[A-Za-z0-9+/]{43}|sntryu_[0-9a-f]{64})",
    check: looksRandom,
    source: "https://docs.sentry.io/account/auth-tokens/",
  },
  {
    id: "new-relic-key",
    title: "New Relic user or insert key",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["NRAK-", "NRII-"] },
    pattern: "(?:NRAK-[A-Z0-9]{27}|NRII-[A-Za-z0-9_-]{32})(?![A-Za-z0-9])",
    minEntropy: 3,
    source: "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
  },
  {
    id: "new-relic-license-key",
    title: "New Relic license key",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["NRAL"], before: 36 },
    pattern: "[0-9a-f]{36}NRAL(?![A-Za-z0-9])",
    minEntropy: 3,
    source: "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/#license-key",
  },
  {
    id: "datadog-key",
    title: "Datadog API or application key",
    group: "monitoring",
    trigger: {
      kind: "keyword",
      keywords: ["datadog", "dd_api_key", "dd_app_key", "dd-api-key", "dd-application-key"],
    },
    pattern: assignedTo(
      "datadog|dd[_-](?:api|app|application)[_-]key",
      "(?:[0-9a-f]{40}|[0-9a-f]{32})(?![A-Za-z0-9_-])",
    ),
    ignoreCase: true,
    check: looksRandom,
    source: "https://docs.datadoghq.com/account_management/api-app-keys/",
  },
  {
    id: "grafana-service-account-token",
    title: "Grafana service account token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["glsa_"] },
    pattern: "glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}",
    check: endsInHexCrc32,
    source: "https://github.com/grafana/grafana/blob/main/pkg/components/satokengen/tokengen.go",
  },
  {
    id: "grafana-cloud-token",
    title: "Grafana Cloud access policy token or legacy API key",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["glc_eyJ", "eyJrIjoi"] },
    pattern: `(?:glc_eyJ${upTo("glc_eyJ", "[A-Za-z0-9+/]", 60, 400)}|eyJrIjoi${upTo("eyJrIjoi", "[A-Za-z0-9+/]", 60, 200)})={0,2}`,
    check: isGrafanaKey,
    source:
      "https://grafana.com/docs/grafana-cloud/account-management/authentication-and-permissions/access-policies/",
  },
  {
    id: "honeycomb-key",
    title: "Honeycomb ingest, configuration or management key",
    group: "monitoring",
    trigger: {
      kind: "keyword",
      keywords: ["hcaik_", "hcbik_", "hcxik_", "hcalk_", "hcblk_", "hcxlk_", "hcamk_", "hcbmk_", "hcxmk_"],
    },
    pattern: "hc[abx][ilm]k_[0-9a-z]{58}",
    minEntropy: 3.5,
    source: "https://docs.honeycomb.io/get-started/configure/environments/manage-api-keys/",
  },
  {
    id: "dynatrace-token",
    title: "Dynatrace token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["dt0c01.", "dt0s01.", "dt0s02.", "dt0s08.", "dt0s16."] },
    pattern: "dt0[cs]\\d{2}\\.[A-Z0-9]{8,24}\\.[A-Z0-9]{64}",
    minEntropy: 4,
    source:
      "https://docs.dynatrace.com/docs/manage/identity-access-management/access-tokens-and-oauth-clients/access-tokens",
  },
  {
    id: "linear-key",
    title: "Linear API key or OAuth token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["lin_api_", "lin_oauth_"] },
    pattern: "lin_(?:api_[A-Za-z0-9]{40}|oauth_[0-9a-f]{64})",
    minEntropy: 3.5,
    source: "https://linear.app/developers/graphql",
  },
  {
    id: "notion-token",
    title: "Notion integration token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["ntn_", "secret_"] },
    pattern: "(?<![A-Za-z0-9_])(?:ntn_\\d{11}[A-Za-z0-9]{35}|secret_[A-Za-z0-9]{43})(?![A-Za-z0-9_])",
    check: isMixedCase,
    source: "https://developers.notion.com/changelog",
  },
  {
    id: "figma-token",
    title: "Figma personal access or OAuth token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["figd_", "figu_", "figor_"] },
    pattern: `fig(?:d|u|or)_${upTo("fig[duo]", "[A-Za-z0-9_-]", 40, 40)}`,
    minEntropy: 4,
    source: "https://developers.figma.com/docs/rest-api/authentication/",
  },
  {
    id: "postman-key",
    title: "Postman API key",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["PMAK-"] },
    pattern: "PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    minEntropy: 3,
    source: "https://learning.postman.com/docs/developer/postman-api/authentication/",
  },
  {
    id: "airtable-token",
    title: "Airtable personal access token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["pat"] },
    pattern: "pat[A-Za-z0-9]{14}\\.[0-9a-f]{64}",
    minEntropy: 3.5,
    source: "https://airtable.com/developers/web/guides/personal-access-tokens",
  },
  {
    id: "asana-token",
    title: "Asana personal access token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["asana"] },
    pattern: assignedTo("asana", "(?:[12]/\\d{10,18}(?:/\\d{10,18})?:[0-9a-f]{32}|0/[0-9a-f]{32})"),
    ignoreCase: true,
    minEntropy: 3,
    source: "https://developers.asana.com/docs/personal-access-token",
  },
  {
    id: "okta-token",
    title: "Okta API token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["ssws", "okta"] },
    pattern: `(?:${nameOf("okta")}(?:ssws)?|ssws)\\s{0,2}(?<secret>00[A-Za-z0-9_-]{40})(?![A-Za-z0-9_-])`,
    ignoreCase: true,
    check: looksRandom,
    source: "https://developer.okta.com/docs/guides/create-an-api-token/main/",
  },
  {
    id: "hubspot-token",
    title: "HubSpot private app token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["pat-na", "pat-eu", "pat-ap"] },
    pattern: `pat-(?:na|eu|ap)\\d{1,2}-${UUID}`,
    minEntropy: 3,
    source: "https://developers.hubspot.com/docs/guides/apps/private-apps/overview",
  },
  {
    id: "contentful-token",
    title: "Contentful management token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["CFPAT-"] },
    pattern: `CFPAT-${upTo("CFPAT-", "[A-Za-z0-9_-]", 43, 43)}`,
    minEntropy: 4,
    source: "https://www.contentful.com/developers/docs/references/authentication/",
  },
  {
    id: "sonar-token",
    title: "SonarQube user, project or analysis token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["squ_", "sqp_", "sqa_"] },
    pattern: "(?<![A-Za-z0-9])sq[upa]_[0-9a-f]{40}(?![0-9A-Za-z])",
    minEntropy: 3,
    source: "https://docs.sonarsource.com/sonarqube-server/latest/user-guide/managing-tokens/",
  },
  {
    id: "build-service-token",
    title: "Buildkite or CircleCI token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["bkua_", "CCIPAT_", "CCIPRJ_"] },
    pattern: "(?:bkua_[0-9a-f]{40}|CCI(?:PAT|PRJ)_[A-Za-z0-9]{22}_[0-9a-f]{40})",
    minEntropy: 3,
    source: "https://circleci.com/docs/managing-api-tokens/",
  },
  {
    id: "openshift-token",
    title: "OpenShift OAuth access token",
    group: "monitoring",
    trigger: { kind: "keyword", keywords: ["sha256~"] },
    pattern: "sha256~[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])",
    minEntropy: 4,
    source:
      "https://docs.redhat.com/en/documentation/openshift_container_platform/4.15/html/authentication_and_authorization/configuring-internal-oauth",
  },
];

/** Whether the base64 is the JSON object that Grafana issues: a key `k` besides what it is for. */
function isGrafanaKey(token: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(token.replace(/^glc_/, ""), "base64").toString("utf8"));
    return typeof value === "object" && value !== null && "k" in value && "n" in value;
  } catch {
    return false;
  }
}
