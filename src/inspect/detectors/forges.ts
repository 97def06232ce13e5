import { endsInBase62Crc32 } from "../checks/crc32.ts";
import { isJwt } from "../checks/jwt.ts";
import { looksRandom } from "../checks/randomness.ts";
import type { Detector } from "../detector.ts";
import { upTo } from "./patterns.ts";

/** Tokens of source forges. Gitea's and Forgejo's are 40 hexadecimal digits, as every commit is: no form of their own. */
export const FORGES: readonly Detector[] = [
  {
    id: "github-token",
    title: "GitHub personal, OAuth, user, installation or refresh token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"] },
    pattern: "gh(?:[pous]_[A-Za-z0-9]{36}|r_[A-Za-z0-9]{76}|r_[A-Za-z0-9]{36})",
    check: endsInBase62Crc32,
    source:
      "https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/",
  },
  {
    id: "github-installation-token",
    title: "GitHub App installation token (stateless form)",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["ghs_"] },
    pattern:
      "ghs_\\d{1,12}_(?<secret>eyJ[A-Za-z0-9_-]{16,400}\\.eyJ[A-Za-z0-9_-]{16,1500}\\.[A-Za-z0-9_-]{20,700})",
    check: isJwt,
    source:
      "https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app",
  },
  {
    id: "github-fine-grained-token",
    title: "GitHub fine-grained personal access token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["github_pat_"] },
    pattern: "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    minEntropy: 4,
    source:
      "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats",
  },
  {
    id: "gitlab-personal-access-token",
    title: "GitLab personal, project or group access token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["glpat-"] },
    pattern: `glpat-(?:${upTo("glpat-", "[A-Za-z0-9_-]", 27, 300)}\\.[0-9a-z]{2}\\.?[0-9a-z]{7}|${upTo("glpat-", "[A-Za-z0-9_-]", 20, 20)})`,
    check: looksRandom,
    source: "https://docs.gitlab.com/security/tokens/#token-prefixes",
  },
  {
    id: "gitlab-token",
    title: "GitLab deploy, runner, trigger, job, feed, mail, agent, SCIM, feature flag or OAuth token",
    group: "forge",
    trigger: {
      kind: "keyword",
      keywords: [
        "gldt-",
        "glrt-",
        "glrtr-",
        "glcbt-",
        "glptt-",
        "glft-",
        "glimt-",
        "glagent-",
        "glsoat-",
        "glffct-",
        "gloas-",
        "glwt-",
      ],
    },
    pattern:
      "gl(?:dt|rtr?|cbt|ptt|ft|imt|agent|soat|ffct|oas|wt)-" +
      `${upTo("gl[a-z]{2,5}-", "[A-Za-z0-9_-]", 20, 300)}(?:\\.[0-9a-z]{2}\\.?[0-9a-z]{7})?`,
    minEntropy: 3.5,
    source: "https://docs.gitlab.com/security/tokens/#token-prefixes",
  },
  {
    id: "gitlab-runner-registration-token",
    title: "GitLab runner registration token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["GR1348941"] },
    pattern: "GR1348941[A-Za-z0-9_-]{20}",
    minEntropy: 3.5,
    source: "https://docs.gitlab.com/security/tokens/#runner-registration-tokens-deprecated",
  },
  {
    id: "atlassian-api-token",
    title: "Atlassian API token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["ATATT3"] },
    pattern: `ATATT3${upTo("ATATT3", "[A-Za-z0-9_-]", 150, 200)}=[0-9A-F]{8}`,
    minEntropy: 4,
    source:
      "https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/",
  },
  {
    id: "bitbucket-access-token",
    title: "Bitbucket repository, project or workspace access token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["ATCTT3"] },
    pattern: `ATCTT3${upTo("ATCTT3", "[A-Za-z0-9_-]", 150, 200)}=[0-9A-F]{8}`,
    minEntropy: 4,
    source: "https://support.atlassian.com/bitbucket-cloud/docs/access-tokens/",
  },
  {
    id: "bitbucket-app-password",
    title: "Bitbucket app password",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["ATBB"] },
    pattern: "(?<![A-Za-z0-9+/_-])ATBB[A-Za-z0-9]{24}[0-9A-F]{8}(?![A-Za-z0-9+/=_-])",
    minEntropy: 3.5,
    source: "https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/",
  },
  {
    id: "sourcegraph-token",
    title: "Sourcegraph access token",
    group: "forge",
    trigger: { kind: "keyword", keywords: ["sgp_"] },
    pattern: "sgp_(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-f]{40}(?![0-9A-Za-z])",
    minEntropy: 3,
    source: "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
  },
];
