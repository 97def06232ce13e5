/** What there is without any manifest: `bottle start claude` works on a fresh machine. */
import type { Agent } from "./agent-schema.ts";
import type { Bottle } from "./bottle-schema.ts";

export const BUILT_IN_AGENTS: readonly string[] = ["claude"];
export const BUILT_IN_BOTTLES: readonly string[] = ["claude"];

export function builtInAgent(): Agent {
  return { bottle: "claude", description: "Claude Code, without standing instructions" };
}

/** What the provider itself needs is all that may be reached. */
export function builtInBottle(): Bottle {
  return { agent_provider: { template: "claude" } };
}
