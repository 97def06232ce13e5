import { checksummed, spoiled } from "./checksummed.ts";
import { blanked, draw, shorter } from "./draw.ts";
import { known, type SecretExample } from "./example.ts";
import { signedJwt } from "./tokens.ts";

const ATLASSIAN = "https://support.atlassian.com/bitbucket-cloud/docs/api-tokens/";
const GITLAB = "https://docs.gitlab.com/security/tokens/#token-prefixes";

export const FORGE_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "github-token": known(
    "https://github.com/therootcompany/base62-token.js#readme (prints one whose checksum is right)",
    [
      ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].join(""),
      ...["ghp_", "gho_", "ghu_", "ghs_", "ghr_"].map((prefix) => checksummed(prefix, 30)),
      checksummed("ghr_", 70),
    ],
    [
      spoiled(checksummed("ghp_", 30)),
      shorter(checksummed("ghp_", 30)),
      `ghp_${draw("alnum", 36)}`,
      blanked("ghp_", 36),
      blanked("gho_", 36, "0"),
    ],
  ),
  "github-installation-token": {
    page: "https://github.blog/changelog/2026-04-24-notice-about-upcoming-new-format-for-github-app-installation-tokens/",
    secrets: [signedJwt({ alg: "ES256", typ: "JWT" }, { iss: "github", jti: draw("alnum", 200) })],
    carriers: [
      (secret) => `GITHUB_TOKEN=ghs_123456_${secret}\n`,
      (secret) => `{"token": "ghs_98_${secret}"}`,
    ],
    nearMisses: [`ghs_123456_${draw("url", 300)}`, "ghs_APPID_JWT"],
  },
  "github-fine-grained-token": known(
    "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
    [`github_pat_${draw("alnum", 22)}_${draw("alnum", 59)}`],
    [`github_pat_${draw("alnum", 22)}_${draw("alnum", 58)} `, blanked("github_pat_", 82)],
  ),
  "gitlab-personal-access-token": known(
    GITLAB,
    [`glpat-${draw("url", 20)}`, `glpat-${draw("url", 30)}.01.${draw("lower", 9)}`.replace(/..$/, "")],
    [`glpat-${draw("url", 19)} `, blanked("glpat-", 20), "glpat-yourtoken"],
  ),
  "gitlab-token": known(
    GITLAB,
    ["gldt", "glrt", "glrtr", "glcbt", "glft", "glsoat", "glffct"]
      .map((prefix) => `${prefix}-${draw("url", 20)}`)
      .concat([
        `glptt-${draw("hex", 40)}`,
        `glimt-${draw("url", 25)}`,
        `glagent-${draw("url", 50)}`,
        `gloas-${draw("hex", 64)}`,
        `glwt-${draw("url", 36)}`,
      ]),
    [`gldt-${draw("url", 19)} `, blanked("glrt-", 20), "glft-token"],
  ),
  "gitlab-runner-registration-token": known(
    GITLAB,
    [`GR1348941${draw("url", 20)}`],
    [`GR1348941${draw("url", 19)} `, blanked("GR1348941", 20)],
  ),
  "atlassian-api-token": known(
    ATLASSIAN,
    [`ATATT3xFfGF0${draw("url", 171)}=${draw("HEX", 8)}`],
    [`ATATT3xFfGF0${draw("url", 100)}=${draw("HEX", 8)}`, `ATATT3xFfGF0${"x".repeat(171)}=00000000`],
  ),
  "bitbucket-access-token": known(
    ATLASSIAN,
    [`ATCTT3xFfGN0${draw("url", 171)}=${draw("HEX", 8)}`],
    [`ATCTT3xFfGN0${draw("url", 100)}=${draw("HEX", 8)}`, `ATCTT3xFfGN0${"x".repeat(171)}=00000000`],
  ),
  "bitbucket-app-password": known(
    "https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/",
    [`ATBB${draw("alnum", 24)}${draw("HEX", 8)}`],
    [
      `ATBB${draw("alnum", 24)}${draw("HEX", 7)} `,
      blanked("ATBB", 32, "0"),
      `x${`ATBB${draw("alnum", 24)}${draw("HEX", 8)}`}`,
    ],
  ),
  "sourcegraph-token": known(
    "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
    [`sgp_${draw("hex", 40)}`, `sgp_${draw("hex", 16)}_${draw("hex", 40)}`, `sgp_local_${draw("hex", 40)}`],
    [`sgp_${draw("hex", 39)} `, blanked("sgp_", 40, "0")],
  ),
};
