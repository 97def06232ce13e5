/** I2: what a sidecar presents is not given to the agent. */
import type { PlannedEnv } from "../contract/plan.ts";
import type { Provider } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";

/**
 * A variable whose value a sidecar presents must not be copied to the agent under any name.
 * @param tokenRefs the variables that hold the bottle's credentials.
 * @throws UserError naming the first that would be.
 */
export function refuseCredentialsInEnv(
  env: readonly PlannedEnv[],
  tokenRefs: readonly string[],
  provider: Provider,
): void {
  const held = new Set([...tokenRefs, ...provider.credentials.map((credential) => credential.tokenRef)]);
  const placeholders = new Set(provider.credentials.flatMap((each) => Object.keys(each.placeholder)));
  for (const { name, source } of env) {
    if (source.kind === "host" && held.has(source.variable)) {
      throw new UserError(
        `env.${name} would give ${source.variable} to the agent: it is a credential, and only a sidecar presents it`,
        { hint: `take ${name} out of env: what the agent does with it works without` },
      );
    }
    if (placeholders.has(name)) {
      throw new UserError(`env.${name} is set by the provider ${provider.name}, to a placeholder`, {
        hint: `take ${name} out of env and keep its value in your own environment: egress presents it`,
      });
    }
  }
}
