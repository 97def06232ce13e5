/** From an agent's name to a plan and what the preflight shows of it. Creates nothing. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { type Choice, chooseBackend, type Wish } from "../backends/registry.ts";
import type { ImageSource } from "../contract/image.ts";
import type { BottlePlan, PlannedUserConfig } from "../contract/plan.ts";
import type { Provider } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { homeOf } from "../lib/paths.ts";
import { printable } from "../lib/printable.ts";
import { loadIndex } from "../manifest/index-scan.ts";
import { type LoadedAgent, loadAgent } from "../manifest/load.ts";
import { findSkills } from "../manifest/skills.ts";
import { buildPlan } from "../plan/build.ts";
import { imageWord } from "../plan/image-word.ts";
import { describePlan, type PreflightView } from "../plan/preflight.ts";
import { preflightSections } from "../plan/preflight-text.ts";
import { expandPresets } from "../plan/presets/expand.ts";
import { providerNamed } from "../providers/registry.ts";
import { type GitIdentity, operatorIdentity } from "../provision/operator-identity.ts";
import { imageFrom } from "./image-argument.ts";
import { inEnvironment } from "./launch-order.ts";
import { readSetup } from "./operator-setup.ts";
import { style, tell } from "./output.ts";
import { sidecarsConfined } from "./sidecars-confined.ts";

export interface PlanFlags {
  readonly backend?: string;
  readonly label?: string;
  /** A folder, or true for the current one. */
  readonly cwd?: string | true;
  readonly prompt?: string;
  /** The guest's system, instead of the bottle's; as it was written. */
  readonly image?: string;
}

export interface Planned {
  readonly plan: BottlePlan;
  readonly view: PreflightView;
  readonly loaded: LoadedAgent;
}

export async function planAgent(name: string, flags: PlanFlags): Promise<Planned> {
  const home = homeOf();
  const loaded = loadAgent(loadIndex({ home, cwd: process.cwd() }), name);
  const { bottle } = loaded;
  const image = flags.image === undefined ? bottle.image : imageFrom(flags.image);
  const cwd = flags.cwd === undefined ? undefined : resolve(flags.cwd === true ? "." : flags.cwd);
  const [choice, identity]: [Choice, GitIdentity | undefined] = await Promise.all([
    chooseBackend({
      flag: flags.backend,
      environment: process.env["BOT_BOTTLE_BACKEND"],
      manifest: bottle.backend,
      minimum: bottle.isolation,
      wishes: wishesFor(image, bottle.resources.diskBytes),
    }),
    cwd === undefined ? undefined : operatorIdentity(cwd),
  ]);
  const provider = providerNamed(bottle.template);
  const userConfig = await findUserConfig(loaded, provider);
  const { plan, warnings } = buildPlan({
    loaded,
    provider,
    options: {
      ...(userConfig !== undefined && { userConfig }),
      backend: choice.backend.name,
      skillsPaths: findSkills(loaded.skills, { home, userHome: homedir() }),
      availableEnv: inEnvironment,
      presets: expandPresets(bottle.presets, readSetup(bottle.presets)),
      ...(image !== undefined && { image }),
      ...(flags.label !== undefined && { label: flags.label }),
      ...(flags.prompt !== undefined && { task: flags.prompt }),
      ...(cwd !== undefined && { cwd }),
      ...(identity !== undefined && { identity }),
    },
  });
  const view = describePlan(plan, {
    availability: choice.availability,
    availableEnv: inEnvironment,
    warnings,
    confined: await sidecarsConfined(plan),
  });
  return { plan, view, loaded };
}

function wishesFor(image: ImageSource | undefined, diskBytes: number | undefined): readonly Wish[] {
  return [
    ...(image === undefined
      ? []
      : [
          {
            what: `the image ${printable(imageWord(image))}`,
            // What bottle commit kept is a disk.
            kind: image.kind === "kept" ? "sizesDisks" : "takesImages",
          } as const,
        ]),
    ...(diskBytes === undefined ? [] : [{ what: "resources.disk", kind: "sizesDisks" } as const]),
  ];
}

/** Reads what the agent's file names of the operator's own. @throws UserError with all that is missing or refused. */
async function findUserConfig(
  loaded: LoadedAgent,
  provider: Provider,
): Promise<PlannedUserConfig | undefined> {
  if (loaded.userConfig === undefined) return undefined;
  if (provider.userConfig !== undefined) return provider.userConfig(loaded.userConfig, homedir());
  throw new UserError(
    `user_config is not for the provider ${provider.name}: it has no configuration of yours`,
    {
      hint: `take user_config out of ${loaded.file ?? loaded.name}`,
    },
  );
}

/** The preflight, on stderr. */
export function tellPreflight(view: PreflightView): void {
  const sections = preflightSections(view);
  const width = Math.max(...sections.map(({ title }) => title.length));
  for (const { title, lines } of sections) {
    lines.forEach((line, i) => {
      tell(`${style("dim", (i === 0 ? title : "").padStart(width))}  ${line}`);
    });
  }
}
