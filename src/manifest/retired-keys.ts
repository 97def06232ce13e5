/** Keys of older generations, and of the wrong file: what to write instead. Data. */
import type { ManifestKind } from "./object-schema.ts";
import type { Path } from "./problem.ts";

interface RetiredKey {
  readonly kind: ManifestKind;
  /** `*` stands for any one part of the path. */
  readonly key: string;
  readonly instead: string;
}

const ROUTE_WITH_AUTH = "egress.routes: [{host: …, auth: {scheme: Bearer, token_ref: VARIABLE}}]";

const RETIRED: readonly RetiredKey[] = [
  { kind: "bottle", key: "tokens", instead: `write ${ROUTE_WITH_AUTH}` },
  { kind: "bottle", key: "cred_proxy", instead: `write ${ROUTE_WITH_AUTH}` },
  { kind: "bottle", key: "egress_proxy", instead: "write egress: {routes: [{host: …}]}" },
  { kind: "bottle", key: "egress.allowlist", instead: "write egress.routes: [{host: …}]" },
  {
    kind: "bottle",
    key: "egress.dlp_action",
    instead: "write dlp: {outbound_on_match: block} on each route it is for",
  },
  {
    kind: "bottle",
    key: "egress.routes.*.path_allowlist",
    instead: "write matches: [{paths: [{type: prefix, value: /…}]}]",
  },
  {
    kind: "bottle",
    key: "egress.routes.*.role",
    instead: "a provider brings its own routes: write agent_provider: {template: claude}",
  },
  {
    kind: "bottle",
    key: "egress.routes.*.pipelock",
    instead: "tls_passthrough is now tls: passthrough, and ssrf_ip_allowlist is allow_addresses",
  },
  {
    kind: "bottle",
    key: "ssh",
    instead: "write git-gate.repos: {<name>: {url: ssh://…, key: {provider: static, path: …}, host_key: …}}",
  },
  {
    kind: "bottle",
    key: "git",
    instead:
      "write git-gate: {user: {name: …, email: …}, repos: {<name>: {url: …, key: {provider: static, path: …}, host_key: …}}}",
  },
  { kind: "bottle", key: "git_user", instead: "write git-gate: {user: {name: …, email: …}}" },
  { kind: "bottle", key: "git-gate.remotes", instead: "write git-gate.repos: {<name>: {url: …}}" },
  {
    kind: "bottle",
    key: "git-gate.repos.*.identity",
    instead: "write key: {provider: static, path: …}",
  },
  {
    kind: "bottle",
    key: "git-gate.repos.*.provisioned_key",
    instead: "write key: {provider: gitea, forge_token_env: VARIABLE}",
  },
  {
    kind: "bottle",
    key: "runtime",
    instead: "backend names what makes the guest, isolation the weakest that will do",
  },
  { kind: "agent", key: "git", instead: "write git-gate: {user: {name: …, email: …}}" },
  { kind: "agent", key: "git_user", instead: "write git-gate: {user: {name: …, email: …}}" },
  {
    kind: "agent",
    key: "git-gate.repos",
    instead: "repositories belong to the bottle: move them to its git-gate.repos",
  },
];

/** What to write instead of the retired key at `path`, if it is one. */
export function insteadOf(kind: ManifestKind, path: Path): string | undefined {
  return RETIRED.find((retired) => retired.kind === kind && matchesPattern(path, retired.key))?.instead;
}

/** `egress.routes.*.role` is a pattern for `["egress", "routes", 0, "role"]`. */
export function matchesPattern(path: Path, pattern: string): boolean {
  const parts = pattern.split(".");
  return parts.length === path.length && parts.every((part, i) => part === "*" || part === path[i]);
}
