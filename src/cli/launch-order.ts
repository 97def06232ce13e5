/** From a plan to an order: the values that its names stand for, read from the operator's environment. */
import { readPrivateKey } from "../bundle/private-key.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { KeeperOrder } from "../keeper/keeper.ts";
import { UserError } from "../lib/errors.ts";
import { missingCredentials, missingEnv } from "../plan/credentials.ts";
import { providerNamed } from "../providers/registry.ts";
import { askSecret } from "./ask.ts";
import { onTerminal } from "./attach.ts";

export function inEnvironment(name: string): boolean {
  return (process.env[name] ?? "") !== "";
}

/**
 * Whether its agent gets no terminal: it has one task, or its program is the operator's own and there is none to give.
 * @throws UserError where an agent product would wait for a person who is not there.
 */
export function runsHeadless(plan: BottlePlan, detach: boolean): boolean {
  if (plan.task !== undefined) return true;
  if (detach || onTerminal()) return false;
  if (plan.provider.name === "command") return true;
  throw new UserError("an interactive agent needs a terminal", {
    hint: 'give it one task with --prompt "…", or run it in the background with --detach',
  });
}

/** @throws UserError naming everything the environment lacks, and how to get it. */
export function refuseMissing(plan: BottlePlan): void {
  refuseMissingAgent(plan);
  const credentials = missingCredentials(plan, inEnvironment);
  const variables = missingEnv(plan, inEnvironment);
  if (credentials.length + variables.length === 0) return;
  const lines = [
    ...credentials.map(
      ({ tokenRef, hosts }) => `${tokenRef} is not set: the credential for ${hosts.join(", ")}`,
    ),
    ...variables.map(({ name, variable }) => `${variable} is not set: the agent's ${name} is copied from it`),
  ];
  const howToGet = credentials.flatMap((credential) => credential.howToGet ?? []);
  const first = credentials[0]?.tokenRef ?? variables[0]?.variable ?? "";
  throw new UserError(lines.join("\n       "), {
    hint: howToGet.length > 0 ? howToGet.join("\n       ") : `export ${first}=…, then run this again`,
  });
}

function refuseMissingAgent(plan: BottlePlan): void {
  const wanting = (plan.repos ?? []).filter(
    ({ upstream }) => upstream.kind === "ssh" && upstream.key.kind === "agent",
  );
  if (wanting.length === 0 || inEnvironment("SSH_AUTH_SOCK")) return;
  throw new UserError(
    `there is no ssh-agent, whose key ${wanting.map(({ name }) => name).join(" and ")} is to be reached with: SSH_AUTH_SOCK is not set`,
    { hint: 'eval "$(ssh-agent)" && ssh-add, or name a key file in the bottle' },
  );
}

/** Reads every key that is a file, so that a launch is not begun with one that cannot be used. @throws UserError */
export async function refuseUnusableKeys(plan: BottlePlan): Promise<void> {
  for (const { upstream } of plan.repos ?? []) {
    if (upstream.kind === "ssh" && upstream.key.kind === "file") await readPrivateKey(upstream.key.path);
  }
}

/** Reads and asks for every value. Asked for last, so that nobody types a secret for a launch that is refused. */
export async function resolveValues(
  plan: BottlePlan,
): Promise<Pick<KeeperOrder, "env" | "credentials" | "environment">> {
  const env: Record<string, string> = {};
  for (const { name, source } of plan.env) {
    switch (source.kind) {
      case "literal":
        env[name] = source.value;
        break;
      case "host":
        env[name] = process.env[source.variable] ?? "";
        break;
      case "prompt":
        env[name] = await askSecret(
          `${name}: ${source.text} `,
          `set ${name} in the bottle as "\${${name}}" and export it`,
        );
        break;
    }
  }
  const credentials: Record<string, string> = {};
  for (const { tokenRef } of plan.credentials) credentials[tokenRef] = process.env[tokenRef] ?? "";
  return { env, credentials, environment: environmentWithout(withheldVariables(plan)) };
}

function environmentWithout(withheld: readonly string[]): Readonly<Record<string, string>> {
  const entries = Object.entries(process.env);
  return Object.fromEntries(
    entries.filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !withheld.includes(entry[0]),
    ),
  );
}

/**
 * Variables that have no business in the keeper's own environment, which its children inherit: what it needs of
 * them is in the order by name, and of a provider's credentials it needs one.
 */
function withheldVariables(plan: BottlePlan): readonly string[] {
  return [
    ...plan.credentials.map(({ tokenRef }) => tokenRef),
    ...providerNamed(plan.provider.name).credentials.map(({ tokenRef }) => tokenRef),
    ...plan.env.flatMap(({ source }) => (source.kind === "host" ? [source.variable] : [])),
  ];
}
