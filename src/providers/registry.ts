/** The agent products there are, by name. */
import type { Provider } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";
import { claude } from "./claude.ts";
import { codex } from "./codex.ts";
import { command } from "./command.ts";

const PROVIDERS: readonly Provider[] = [claude, codex, command];

export const providerNames: readonly string[] = PROVIDERS.map((provider) => provider.name);

/** @throws UserError with the closest name, or all of them. */
export function providerNamed(name: string): Provider {
  const found = PROVIDERS.find((provider) => provider.name === name);
  if (found !== undefined) return found;
  const close = didYouMean(name, providerNames);
  throw new UserError(`there is no agent provider "${name}"`, {
    hint: close === undefined ? `known: ${providerNames.join(", ")}` : `did you mean "${close}"?`,
  });
}
