/** Which credentials a plan needs, who holds them, and what the operator does not have. */
import type { BottlePlan, PlannedCredential } from "../contract/plan.ts";
import type { Route, UpstreamProxyPlace } from "../contract/policy.ts";
import type { Provider } from "../contract/provider.ts";

/** One entry a token, with every host it is for. */
export function planCredentials(
  routes: readonly Route[],
  proxy: UpstreamProxyPlace | undefined,
  provider: Provider,
  availableEnv: (name: string) => boolean,
): readonly PlannedCredential[] {
  const uses = [
    ...routes.map(({ host, auth }) => ({ host, tokenRef: auth?.tokenRef })),
    ...(proxy === undefined ? [] : [{ host: `the proxy ${proxy.host}`, tokenRef: proxy.tokenRef }]),
  ];
  const tokenRefs = new Set(uses.flatMap((use) => use.tokenRef ?? []));
  return [...tokenRefs].map((tokenRef) => {
    const howToGet = howToGetOf(tokenRef, provider, availableEnv);
    return {
      tokenRef,
      holder: "egress",
      hosts: uses.filter((use) => use.tokenRef === tokenRef).map((use) => use.host),
      ...(howToGet === undefined ? {} : { howToGet }),
    };
  });
}

/** When the operator has none of a provider's alternatives, all of them are told. */
function howToGetOf(
  tokenRef: string,
  provider: Provider,
  availableEnv: (name: string) => boolean,
): string | undefined {
  const own = provider.credentials.find((each) => each.tokenRef === tokenRef);
  if (own === undefined) return undefined;
  if (availableEnv(tokenRef)) return own.howToGet;
  return provider.credentials.map((each) => each.howToGet).join("; or ");
}

/** The credentials of the plan that the operator's environment lacks; a launch stops at the first. */
export function missingCredentials(
  plan: BottlePlan,
  availableEnv: (name: string) => boolean,
): readonly PlannedCredential[] {
  return plan.credentials.filter(({ tokenRef }) => !availableEnv(tokenRef));
}

export interface MissingEnv {
  /** The name in the guest. */
  readonly name: string;
  /** The variable of the operator's environment that it should be copied from. */
  readonly variable: string;
}

/** The `${HOST_VAR}` entries of the plan that the operator's environment lacks. */
export function missingEnv(plan: BottlePlan, availableEnv: (name: string) => boolean): readonly MissingEnv[] {
  return plan.env.flatMap(({ name, source }) =>
    source.kind === "host" && !availableEnv(source.variable) ? [{ name, variable: source.variable }] : [],
  );
}
