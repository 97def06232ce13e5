/**
 * From a loaded agent, its provider and the operator's options to the plan of a bottle. Pure: nothing is
 * read and no value of any variable is known here, only whether it is there.
 *
 * I2 is decided here: the variables that hold credentials go to `credentials`, and an `env` entry that would
 * carry one of them into the guest is refused (env-credentials.ts).
 */
import type { ImageSource } from "../contract/image.ts";
import type { BackendName } from "../contract/isolation.ts";
import type { BottlePlan, PlannedSkill, PlannedUserConfig } from "../contract/plan.ts";
import type { Provider } from "../contract/provider.ts";
import type { LoadedAgent } from "../manifest/load.ts";
import { planCredentials } from "./credentials.ts";
import { refuseCredentialsInEnv } from "./env-credentials.ts";
import { mcpConfigOf } from "./mcp-config.ts";
import { refusePipelockWith } from "./pipelock.ts";
import type { ExpandedPresets } from "./presets/expand.ts";
import { planRepoCredentials, tokenRefsOf } from "./repo-credentials.ts";
import { chooseCredential, planRoutes } from "./routes.ts";

/** More than any build starts at once, and few enough that a fork bomb does not fill the host's table. */
const DEFAULT_PIDS = 4096;

export interface PlanOptions {
  readonly backend: BackendName;
  /** The skills' host folders by name, as `findSkills` returns them. */
  readonly skillsPaths: ReadonlyMap<string, string>;
  /** What the provider found of what the agent's file names. */
  readonly userConfig?: PlannedUserConfig;
  /** Whether the operator's environment has a variable. */
  readonly availableEnv: (name: string) => boolean;
  readonly label?: string;
  /** What to do now, headless. */
  readonly task?: string;
  /** The folder that is copied in as the workspace. */
  readonly cwd?: string;
  /** What the bottle's presets come to here. */
  readonly presets?: ExpandedPresets;
  /** Instead of the bottle's. */
  readonly image?: ImageSource;
  /** Who commits when the manifest says nothing of it. */
  readonly identity?: Required<BottlePlan["git"]>;
}

export interface PlanRequest {
  readonly loaded: LoadedAgent;
  readonly provider: Provider;
  readonly options: PlanOptions;
}

export interface BuiltPlan {
  readonly plan: BottlePlan;
  /** What the operator may not have meant; one line each. */
  readonly warnings: readonly string[];
}

/** @throws UserError when the manifest would give a credential to the agent, or the provider lacks something. */
export function buildPlan({ loaded, provider, options }: PlanRequest): BuiltPlan {
  const { bottle } = loaded;
  const image = options.image ?? bottle.image;
  const setup = provider.setup({
    prompt: loaded.prompt,
    task: options.task,
    command: bottle.command,
    credential: chooseCredential(provider.credentials, options.availableEnv)?.tokenRef,
    mcpConfig: mcpConfigOf({
      ...(bottle.supervise !== undefined && { supervise: bottle.supervise }),
      ...(options.userConfig !== undefined && { userConfig: options.userConfig }),
    }),
    settings: options.userConfig?.settings,
  });
  const { presets = { routes: [], presets: [], warnings: [] }, availableEnv } = options;
  const { routes, chosen, warnings } = planRoutes(bottle.routes, presets.routes, provider, availableEnv);
  if (bottle.pipelock) refusePipelockWith(routes, bottle.upstreamProxy);
  refuseCredentialsInEnv(
    bottle.env,
    [
      ...[...routes.map(({ auth }) => auth), bottle.upstreamProxy].flatMap((each) => each?.tokenRef ?? []),
      ...bottle.repos.flatMap(tokenRefsOf),
    ],
    provider,
  );
  const plan: BottlePlan = {
    agent: {
      name: loaded.name,
      source: loaded.source,
      ...(loaded.file === undefined ? {} : { file: loaded.file }),
      ...(loaded.contentHash === undefined ? {} : { contentHash: loaded.contentHash }),
      prompt: loaded.prompt,
    },
    bottle: { name: bottle.name, files: bottle.files },
    ...(options.label === undefined ? {} : { label: options.label }),
    provider: {
      name: provider.name,
      argv: setup.argv,
      ...(setup.resumeArgv === undefined ? {} : { resumeArgv: setup.resumeArgv }),
      env: { ...setup.env, ...chosen?.placeholder },
      files: setup.files,
    },
    ...(options.task === undefined ? {} : { task: options.task }),
    env: bottle.env,
    skills: loaded.skills.map((name) => plannedSkill(name, options.skillsPaths)),
    ...(options.userConfig === undefined ? {} : { userConfig: options.userConfig }),
    credentials: [
      ...planCredentials(routes, bottle.upstreamProxy, provider, availableEnv),
      ...planRepoCredentials(bottle.repos),
    ],
    placeholders: placeholdersOf(provider),
    placeholderHosts: provider.credentialHosts,
    routes,
    presets: presets.presets,
    ...(bottle.limits === undefined ? {} : { egressLimits: bottle.limits }),
    ...(bottle.log === undefined ? {} : { egressLog: bottle.log }),
    ...(bottle.upstreamProxy === undefined ? {} : { upstreamProxy: bottle.upstreamProxy }),
    ...(bottle.pipelock && { pipelock: bottle.pipelock }),
    rules: bottle.rules,
    upstreamCa: bottle.upstreamCa,
    // As a whole: half of one and half of the other would be somebody who is nobody.
    git: Object.keys(loaded.git).length > 0 ? loaded.git : (options.identity ?? {}),
    ...(bottle.repos.length === 0 ? {} : { repos: bottle.repos }),
    ...(options.cwd === undefined ? {} : { workspaceFrom: options.cwd }),
    ...(bottle.supervise === undefined ? {} : { supervise: bottle.supervise }),
    mounts: bottle.mounts,
    resources: { ...bottle.resources, pids: DEFAULT_PIDS },
    ...(image === undefined ? {} : { image }),
    ...(bottle.isolation === undefined ? {} : { isolation: bottle.isolation }),
    backend: options.backend,
    ...(bottle.bundle === undefined ? {} : { bundle: bottle.bundle }),
    ...(bottle.hostServices === undefined ? {} : { hostServices: bottle.hostServices }),
  };
  return {
    plan,
    warnings: [
      ...loaded.warnings,
      ...presets.warnings,
      ...warnings,
      ...overridden(plan),
      ...unreachableServers(plan),
    ],
  };
}

/** Also those of credentials that were not chosen: files of the provider may hold them. */
function placeholdersOf(provider: Provider): readonly string[] {
  return [...new Set(provider.credentials.flatMap((credential) => Object.values(credential.placeholder)))];
}

function plannedSkill(name: string, paths: ReadonlyMap<string, string>): PlannedSkill {
  const path = paths.get(name);
  // Found and named before; a plan without it would be another plan.
  if (path === undefined) throw new Error(`no folder for the skill ${name}`);
  return { name, path };
}

/** An MCP server gets a way out like everything else: by a route, and no other way. */
function unreachableServers({ routes, userConfig }: BottlePlan): string[] {
  return (userConfig?.mcpServers ?? []).flatMap(({ name, place }) => {
    if (place.type === "stdio") return [];
    const { hostname } = new URL(place.url);
    const host = hostname.replace(/^\[|\]$/g, "");
    const isCovered = routes.some((route) =>
      route.host.startsWith("*.") ? host.endsWith(route.host.slice(1)) : route.host === host,
    );
    if (isCovered) return [];
    return [`the MCP server ${name} is at ${host}, for which there is no route: the agent will not reach it`];
  });
}

function overridden(plan: BottlePlan): string[] {
  return plan.env
    .filter(({ name }) => Object.hasOwn(plan.provider.env, name))
    .map(({ name }) => `env.${name} replaces what the provider ${plan.provider.name} sets`);
}
