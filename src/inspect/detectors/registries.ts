import { endsInBase62Crc32 } from "../checks/crc32.ts";
import { isPlaceholder } from "../checks/placeholder.ts";
import { looksRandom } from "../checks/randomness.ts";
import type { Detector } from "../detector.ts";
import { standalone, upTo } from "./patterns.ts";

/** Tokens of package and image registries: what publishes under somebody's name. */
export const REGISTRIES: readonly Detector[] = [
  {
    id: "npm-token",
    title: "npm access token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["npm_"] },
    pattern: "npm_[A-Za-z0-9]{36}",
    check: endsInBase62Crc32,
    source: "https://github.blog/security/announcing-npms-new-access-token-format/",
  },
  {
    id: "npmrc-credential",
    title: "Credential in an .npmrc",
    group: "registry",
    trigger: { kind: "keyword", keywords: [":_authToken", ":_password", ":_auth"] },
    pattern: String.raw`:_(?:authToken|password|auth)\s{0,3}=\s{0,3}["']?(?<secret>[A-Za-z0-9_.=+/~-]{16,400})`,
    check: (value) => !isPlaceholder(value) && looksRandom(value),
    source: "https://docs.npmjs.com/cli/v11/configuring-npm/npmrc#auth-related-configuration",
  },
  {
    id: "pypi-token",
    title: "PyPI or TestPyPI API token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZw"] },
    pattern: `pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)${upTo("pypi-", "[A-Za-z0-9_-]", 50, 1000)}`,
    minEntropy: 4,
    source: "https://pypi.org/help/#apitoken",
  },
  {
    id: "crates-io-token",
    title: "crates.io API token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["cio"] },
    pattern: standalone("cio[A-Za-z0-9]{32}"),
    check: looksRandom,
    source: "https://github.com/rust-lang/crates.io/blob/main/crates/crates_io_database/src/utils/token.rs",
  },
  {
    id: "rubygems-key",
    title: "RubyGems API key",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["rubygems_"] },
    pattern: "rubygems_[0-9a-f]{48}",
    minEntropy: 3,
    source: "https://guides.rubygems.org/api-key-scopes/",
  },
  {
    id: "nuget-key",
    title: "NuGet API key",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["oy2"] },
    pattern: standalone("oy2[a-z0-9]{43}"),
    check: looksRandom,
    source: "https://learn.microsoft.com/en-us/nuget/nuget-org/scoped-api-keys",
  },
  {
    id: "docker-hub-token",
    title: "Docker Hub personal or organisation access token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["dckr_pat_", "dckr_oat_"] },
    pattern: "dckr_(?:pat_[A-Za-z0-9_-]{27}|oat_[A-Za-z0-9_-]{32})",
    minEntropy: 3.5,
    source: "https://docs.docker.com/security/access-tokens/",
  },
  {
    id: "docker-config-auth",
    title: "Registry password in a Docker config",
    group: "registry",
    trigger: { kind: "keyword", keywords: ['"auth"', '\\"auth\\"'] },
    pattern: String.raw`\\{0,1}"auth\\{0,1}"\s{0,4}:\s{0,4}\\{0,1}"(?<secret>[A-Za-z0-9+/]{16,4000}={0,2})\\{0,1}"`,
    check: isBasicAuth,
    source: "https://docs.docker.com/reference/cli/docker/login/#credential-stores",
  },
  {
    id: "jfrog-token",
    title: "JFrog API key or reference token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["AKCp", "cmVmdGtuOjAx"] },
    pattern: standalone("(?:AKCp[A-Za-z0-9]{69}|cmVmdGtuOjAx[A-Za-z0-9]{52})"),
    check: looksRandom,
    source: "https://jfrog.com/help/r/jfrog-platform-administration-documentation/reference-token",
  },
  {
    id: "clojars-token",
    title: "Clojars deploy token",
    group: "registry",
    trigger: { kind: "keyword", keywords: ["CLOJARS_"] },
    pattern: "CLOJARS_[a-z0-9]{60}",
    minEntropy: 3.5,
    source: "https://github.com/clojars/clojars-web/wiki/Deploy-Tokens",
  },
];

/** Whether `base64` is `user:password` with a password that is not a placeholder. */
function isBasicAuth(base64: string): boolean {
  const text = Buffer.from(base64, "base64").toString("latin1");
  const [, user = "", password = ""] =
    /^([\x21-\x39\x3b-\x7e]{1,200}):([\x20-\x7e]{4,3000})$/.exec(text) ?? [];
  return user !== "" && !isPlaceholder(password);
}
