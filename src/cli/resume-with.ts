/**
 * `bottle resume --with …`: what an environment lacked, given on the host and for the next life of the same bottle;
 * its workspace, its home and its agent's session stay. Nothing here is the agent's to say.
 */
import { homedir } from "node:os";
import type { BottlePlan } from "../contract/plan.ts";
import { UserError } from "../lib/errors.ts";
import { homeOf } from "../lib/paths.ts";
import { parseAdditions } from "../manifest/additions.ts";
import { withAdditions } from "../plan/additions.ts";
import { imageWord } from "../plan/image-word.ts";
import { providerNamed } from "../providers/registry.ts";
import { approveRepositoryAgent } from "./agent-approval.ts";
import { inEnvironment } from "./launch-order.ts";
import { tell } from "./output.ts";
import { planAgent } from "./prepare-plan.ts";

const FORMS = "--with takes env:NAME, mount:/from/here:/to/there, or manifest";

export interface Replanned {
  readonly plan: BottlePlan;
  /** Of the agent that the manifest names now: asked for once everything else is known to be in order. */
  approve(): Promise<void>;
}

/** @throws UserError when something is not of these forms, or the bottle cannot become what is wanted. */
export async function planWith(earlier: BottlePlan, wanted: readonly string[]): Promise<Replanned> {
  const env: Record<string, { from: string } | { ask: string }> = {};
  const mounts: { from: string; to: string }[] = [];
  let isReplanned = false;
  for (const text of wanted) {
    const [, kind, value = ""] = /^(env|mount|manifest)(?::(.*))?$/s.exec(text) ?? [];
    const mount = /^(.+):(\/[^:]*)$/s.exec(value);
    if (kind === "env" && value.includes("=")) {
      throw new UserError("--with env:NAME takes no value: a command line is seen by others on this host", {
        hint: "export the variable, or be asked for it: --with env:NAME",
      });
    }
    if (kind === "env" && value !== "") {
      env[value] = inEnvironment(value) ? { from: value } : { ask: `the agent's ${value}?` };
    } else if (kind === "mount" && mount !== null) mounts.push({ from: mount[1] ?? "", to: mount[2] ?? "" });
    else if (text === "manifest") isReplanned = true;
    else throw new UserError(`--with ${text} is not understood`, { hint: FORMS });
  }
  const { plan, approve } = isReplanned ? await replan(earlier) : { plan: earlier, approve: async () => {} };
  const added = parseAdditions({ env, mounts }, { home: homeOf(), userHome: homedir() });
  return { plan: withAdditions(plan, added, providerNamed(plan.provider.name)), approve };
}

/**
 * The manifest as it is now, for the bottle as it is: whatever lies in its guest can only go on where it lies, and only
 * the same product knows its own session. I5: the agent must be the file that it was, or somebody else's would be.
 */
async function replan(earlier: BottlePlan): Promise<Replanned> {
  const { name, file } = earlier.agent;
  const { plan, view, loaded } = await planAgent(name, {
    backend: earlier.backend,
    // Its disk is what it was made from.
    ...(earlier.image !== undefined && { image: imageWord(earlier.image) }),
    ...(earlier.label !== undefined && { label: earlier.label }),
  });
  const stays = (what: string, was: string | undefined, is: string | undefined): void => {
    if (was === is) return;
    throw new UserError(
      `the manifest has another ${what} by now: ${is ?? "none"}, and this bottle ${was ?? "none"}`,
      {
        hint: `bottle start ${name} makes a new bottle; bottle pull takes the work out of this one`,
      },
    );
  };
  stays("file for the agent", file, plan.agent.file);
  stays("provider", earlier.provider.name, plan.provider.name);
  stays("backend", earlier.backend, loaded.bottle.backend ?? earlier.backend);
  for (const warning of view.warnings) tell(`warning: ${warning}`);
  return {
    plan: {
      ...plan,
      ...(earlier.workspaceFrom !== undefined && { workspaceFrom: earlier.workspaceFrom }),
      git: Object.keys(plan.git).length > 0 ? plan.git : earlier.git,
    },
    approve: () => approveRepositoryAgent(loaded),
  };
}
