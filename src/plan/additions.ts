/** A plan with variables and mounts added to it. Pure; what a plan may not have, it may not be given later. */
import type { BottlePlan, PlannedEnv, PlannedMount } from "../contract/plan.ts";
import type { Provider } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { refuseCredentialsInEnv } from "./env-credentials.ts";

/** @throws UserError when a variable would give a credential to the agent, or a mount's place is taken. */
export function withAdditions(
  plan: BottlePlan,
  added: { readonly env: readonly PlannedEnv[]; readonly mounts: readonly PlannedMount[] },
  provider: Provider,
): BottlePlan {
  refuseCredentialsInEnv(
    added.env,
    plan.credentials.map(({ tokenRef }) => tokenRef),
    provider,
  );
  for (const { from, to } of added.mounts) {
    const other = plan.mounts.find((mount) => mount.to === to && mount.from !== from);
    if (other !== undefined) throw new UserError(`${other.from} is mounted at ${to} already`);
  }
  const names = new Set(added.env.map(({ name }) => name));
  const places = new Set(added.mounts.map(({ to }) => to));
  return {
    ...plan,
    env: [...plan.env.filter(({ name }) => !names.has(name)), ...added.env],
    mounts: [...plan.mounts.filter(({ to }) => !places.has(to)), ...added.mounts],
  };
}
