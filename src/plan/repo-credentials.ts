/** Which tokens the repositories of a bottle need, and who holds each. */
import type { PlannedCredential } from "../contract/plan.ts";
import type { PlannedRepo } from "../contract/repository.ts";

/** One entry a token and holder, with every host it is for. */
export function planRepoCredentials(repos: readonly PlannedRepo[]): readonly PlannedCredential[] {
  const found = new Map<string, PlannedCredential>();
  for (const use of repos.flatMap(usesOf)) {
    const key = `${use.holder} ${use.tokenRef}`;
    const hosts = [...(found.get(key)?.hosts ?? []), ...use.hosts];
    found.set(key, { ...use, hosts: [...new Set(hosts)] });
  }
  return [...found.values()];
}

/** Variables of the operator's that this repository's credentials are in. */
export function tokenRefsOf(repo: PlannedRepo): readonly string[] {
  return usesOf(repo).map(({ tokenRef }) => tokenRef);
}

function usesOf({ upstream }: PlannedRepo): readonly PlannedCredential[] {
  switch (upstream.kind) {
    case "https":
      return upstream.token === undefined
        ? []
        : [{ tokenRef: upstream.token.tokenRef, holder: "git-gate", hosts: [upstream.host] }];
    case "ssh": {
      const { key } = upstream;
      // The gate gets the key that was made with it, never the token.
      return key.kind === "deploy"
        ? [{ tokenRef: key.tokenRef, holder: "keeper", hosts: [new URL(key.server).hostname] }]
        : [];
    }
    case "local":
      return [];
  }
}
