/** The policy as it is asked: everything that can be worked out beforehand is. */
import type { GitGateConfig, GitGatePolicy, GitRepoPolicy } from "../../../contract/git-gate.ts";
import type { RouteGrant } from "../../../contract/sidecar.ts";
import { DETECTORS } from "../../../inspect/detectors/index.ts";
import { compileInspector, type Inspector } from "../../../inspect/inspector.ts";
import { type KnownSecret, MIN_KNOWN } from "../../../inspect/known-secret.ts";
import { compileRules } from "../../../inspect/own-rules.ts";
import { UserError } from "../../../lib/errors.ts";
import { compilePaths, type PathPolicy } from "./paths.ts";

export interface CompiledPolicy {
  /** Nothing is pushed. */
  readonly frozen: boolean;
  readonly inspector: Inspector;
  readonly repos: ReadonlyMap<string, CompiledRepo>;
}

export interface CompiledRepo {
  readonly policy: GitRepoPolicy;
  readonly paths: PathPolicy;
  /** By `<code> <subject>`; undefined among them: for as long as the bottle runs. */
  readonly exceptions: ReadonlyMap<string, readonly (RouteGrant | undefined)[]>;
}

/** @throws UserError when it does not fit the configuration, or a rule or a known secret cannot be used. */
export async function compilePolicy(config: GitGateConfig, policy: GitGatePolicy): Promise<CompiledPolicy> {
  const { known, rules, exceptions } = policy;
  const inspector = compileInspector({
    detectors: DETECTORS,
    known: [...known, ...ownSecrets(config)],
    ...(rules.length > 0 && { rules: await compileRules(rules) }),
    fingerprintKey: Buffer.from(config.fingerprintKey, "base64"),
  });
  const repos = new Map<string, CompiledRepo>();
  for (const { name } of config.repos) {
    const repo = policy.repos[name];
    if (repo === undefined) throw new UserError(`the policy says nothing of the repository ${name}`);
    repos.set(name, {
      policy: repo,
      paths: compilePaths(repo.paths),
      exceptions: grouped(exceptions, name),
    });
  }
  return { frozen: policy.frozen === true, inspector, repos };
}

function grouped(exceptions: GitGatePolicy["exceptions"], name: string): CompiledRepo["exceptions"] {
  const groups = new Map<string, (RouteGrant | undefined)[]>();
  for (const { repo, code, subject, grant } of exceptions) {
    if (repo !== name) continue;
    const key = `${code} ${subject}`;
    groups.set(key, [...(groups.get(key) ?? []), grant]);
  }
  return groups;
}

/** What the gate holds itself. A key's text is found by what keys look like; its lines are not worth knowing. */
function ownSecrets({ bearer, repos }: GitGateConfig): readonly KnownSecret[] {
  const secrets = [
    ["git-gate bearer", bearer],
    ...repos.flatMap(({ name, upstream }) =>
      upstream.kind === "https"
        ? [
            [`token of ${name}`, upstream.credential?.token],
            [`the proxy's password`, upstream.proxy?.credential?.token],
          ]
        : [],
    ),
  ];
  return secrets.flatMap(([name = "", value]) =>
    value === undefined || Buffer.byteLength(value) < MIN_KNOWN
      ? []
      : [{ name, kind: "known" as const, value }],
  );
}
