import { checksummed, spoiled } from "./checksummed.ts";
import { blanked, draw, shorter, uuid } from "./draw.ts";
import { known, type SecretExample } from "./example.ts";

export const REGISTRY_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "npm-token": known(
    "https://github.blog/security/announcing-npms-new-access-token-format/",
    [checksummed("npm_", 30)],
    [
      spoiled(checksummed("npm_", 30)),
      shorter(checksummed("npm_", 30)),
      `npm_${draw("alnum", 36)}`,
      blanked("npm_", 36),
    ],
  ),
  "npmrc-credential": {
    page: "https://docs.npmjs.com/cli/v11/configuring-npm/npmrc#auth-related-configuration",
    secrets: [uuid(), Buffer.from(`somebody:${draw("alnum", 20)}`).toString("base64")],
    carriers: [
      (secret) => `//npm.corp.example.net/:_authToken=${secret}\n`,
      (secret) => `//npm.corp.example.net/:_auth = "${secret}"\n`,
    ],
    nearMisses: [
      `//npm.corp.example.net/:_authToken=\${NPM_TOKEN}\n`,
      "//x/:_authToken=your-npm-token-goes-here\n",
      uuid(),
    ],
  },
  "pypi-token": known(
    "https://docs.pypi.org/api/secrets/",
    [`pypi-AgEIcHlwaS5vcmc${draw("url", 130)}`, `pypi-AgENdGVzdC5weXBpLm9yZw${draw("url", 130)}`],
    [
      `pypi-AgEIcHlwaS5vcmc${draw("url", 30)}`,
      blanked("pypi-AgEIcHlwaS5vcmc", 100),
      `pypi-${draw("url", 100)}`,
    ],
  ),
  "crates-io-token": known(
    "https://github.com/rust-lang/rfcs (tokens are cio and 32 alphanumerics)",
    [`cio${draw("alnum", 32)}`],
    [
      `cio${draw("alnum", 31)}`,
      `cio${draw("alnum", 33)}`,
      `pre${`cio${draw("alnum", 32)}`}`,
      blanked("cio", 32),
    ],
  ),
  "rubygems-key": known(
    "https://guides.rubygems.org/rubygems-org-api/",
    [`rubygems_${draw("hex", 48)}`],
    [`rubygems_${draw("hex", 47)} `, blanked("rubygems_", 48, "0")],
  ),
  "nuget-key": known(
    "https://docs.github.com/en/code-security/secret-scanning",
    [`oy2${draw("lower", 43)}`],
    [`oy2${draw("lower", 42)}`, `oy2${draw("lower", 44)}`, blanked("oy2", 43)],
  ),
  "docker-hub-token": known(
    "https://rules.sonarsource.com/secrets/RSPEC-6782",
    [`dckr_pat_${draw("url", 27)}`, `dckr_oat_${draw("url", 32)}`],
    [`dckr_pat_${draw("url", 26)} `, blanked("dckr_pat_", 27)],
  ),
  "docker-config-auth": {
    page: "https://docs.docker.com/reference/cli/docker/login/#default-behavior",
    secrets: [Buffer.from(`deployer:${draw("alnum", 24)}`).toString("base64")],
    carriers: [
      (secret) => `{"auths": {"registry.corp.example.net": {"auth": "${secret}"}}}`,
      (secret) => JSON.stringify(JSON.stringify({ auths: { "ghcr.io": { auth: secret } } })),
    ],
    nearMisses: [
      `{"auth": "${Buffer.from("user:password").toString("base64")}"}`,
      `{"auth": "${Buffer.from("no colon in this one").toString("base64")}"}`,
      '{"auth": "required-for-all-requests"}',
    ],
  },
  "jfrog-token": known(
    "https://docs.gitguardian.com/secrets-detection/secrets-detection-engine/detectors/specifics/artifactory_token",
    [
      `AKCp${draw("alnum", 69)}`,
      `${Buffer.from("reftkn:01:").toString("base64").slice(0, 12)}${draw("alnum", 52)}`,
    ],
    [`AKCp${draw("alnum", 68)}`, `AKCp${draw("alnum", 90)}`, blanked("AKCp", 69)],
  ),
  "clojars-token": known(
    "https://github.com/clojars/clojars-web/wiki/Deploy-Tokens",
    [`CLOJARS_${draw("hex", 60)}`],
    [`CLOJARS_${draw("hex", 59)} `, blanked("CLOJARS_", 60, "0")],
  ),
};
