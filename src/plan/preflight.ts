/**
 * What the operator is shown before anything exists, as plain data for people (`preflightSections`) and for
 * programs (`--json`). It tells names and never a value: a variable's, a secret's, or a literal's of `env`.
 * Texts from files are made printable here, so that nothing a repository wrote can redraw the screen on
 * which it is approved (I6).
 */
import type { Availability, Lack } from "../contract/backend.ts";
import type { ImageSource } from "../contract/image.ts";
import type { BackendName, BundlePlacement, IsolationLevel } from "../contract/isolation.ts";
import type {
  AgentSource,
  BottlePlan,
  EnvSource,
  PlannedPreset,
  PlannedSupervise,
  PlannedUserConfig,
} from "../contract/plan.ts";
import type { EgressLimits, EgressLogLevel, Route, UpstreamProxyPlace } from "../contract/policy.ts";
import { printable } from "../lib/printable.ts";
import { imageWord } from "./image-word.ts";
import { meetsIsolation } from "./isolation.ts";
import { describeMatch } from "./match-text.ts";
import { pipelockPolicy } from "./pipelock.ts";
import { describeRepo, type PreflightRepo } from "./preflight-repo.ts";

export interface PreflightHost {
  readonly host: string;
  /** One line a rule; empty when every request may pass. */
  readonly rules: readonly string[];
  /** The variable whose secret egress presents there. */
  readonly credential?: string;
  readonly tls: Route["tls"];
  readonly connectTo?: string;
  readonly allowAddresses: readonly string[];
}

export interface PreflightEnv {
  readonly name: string;
  readonly from: EnvSource["kind"];
  /** For `host`: the variable it is copied from. For `prompt`: the question. */
  readonly detail?: string;
  readonly available: boolean;
}

export interface PreflightCredential {
  readonly tokenRef: string;
  readonly holder: string;
  readonly hosts: readonly string[];
  readonly available: boolean;
  readonly howToGet?: string;
}

export interface PreflightView {
  readonly agent: {
    readonly name: string;
    readonly source: AgentSource;
    readonly file?: string;
    readonly contentHash?: string;
    /** First line of the prompt; empty when there is none. */
    readonly prompt: string;
  };
  readonly label?: string;
  /** First line of what to do now. */
  readonly task?: string;
  readonly bottle: { readonly name: string; readonly files: readonly string[] };
  readonly provider: string;
  readonly backend: {
    readonly name: BackendName;
    readonly usable: boolean;
    readonly isolation?: IsolationLevel;
    readonly strength?: string;
    readonly minimum?: IsolationLevel;
    readonly meetsMinimum: boolean;
    readonly lacks: readonly Lack[];
  };
  readonly hosts: readonly PreflightHost[];
  /** What the bottle named, where its hosts were read, and which they are. */
  readonly presets: readonly Pick<PlannedPreset, "name" | "from" | "hosts">[];
  /** The proxy through which everything leaves. */
  readonly upstreamProxy?: { readonly url: string; readonly credential?: string };
  /** Everything leaves through a pipelock, which does not look into what goes to these. */
  readonly pipelock?: { readonly sealed: readonly string[] };
  /** Whether the agent may ask for more, and how long a request waits. */
  readonly supervise?: {
    readonly patienceMs: number;
    readonly notify?: string;
    readonly freezeOnCanary: boolean;
  };
  readonly sidecarsConfined: boolean;
  /** Said when the operator chose it. */
  readonly bundle?: BundlePlacement;
  readonly hostServices: readonly number[];
  /** What the bottle says of egress's limits. */
  readonly limits: EgressLimits;
  readonly log: EgressLogLevel;
  readonly upstreamCa: readonly string[];
  /** Behind git-gate. */
  readonly repos: readonly PreflightRepo[];
  /** Held outside; never in the guest. */
  readonly credentials: readonly PreflightCredential[];
  /** Given to the agent. */
  readonly env: readonly PreflightEnv[];
  readonly skills: readonly { readonly name: string; readonly path: string }[];
  /** What comes along of the operator's own configuration. */
  readonly userConfig?: {
    readonly texts: readonly { readonly name: string; readonly from: string }[];
    /** Keys. */
    readonly settings: readonly string[];
    /** `at`: a URL, or the command that the agent starts. */
    readonly mcpServers: readonly { readonly name: string; readonly at: string }[];
  };
  readonly git: { readonly name?: string; readonly email?: string };
  readonly workspace?: string;
  readonly mounts: readonly { readonly from: string; readonly to: string }[];
  readonly resources: BottlePlan["resources"];
  /** The guest's system, where it is not the host's. `pinned`: by a digest, so that nobody can change what it is. */
  readonly image?: { readonly name: string; readonly pinned: boolean };
  readonly warnings: readonly string[];
}

export interface PreflightFacts {
  /** What the plan's backend found out about this host. */
  readonly availability: Availability;
  readonly availableEnv: (name: string) => boolean;
  readonly warnings?: readonly string[];
  /** False: sidecars that are processes of this host see what every program of the operator's sees. */
  readonly confined?: boolean;
}

const PATH_LENGTH = 1_000;
const DEFAULT_LOG: EgressLogLevel = 1;

function describeSupervise({
  patienceMs,
  notify,
  freezeOnCanary,
}: PlannedSupervise): NonNullable<PreflightView["supervise"]> {
  const command = notify && printable(notify.join(" "), PATH_LENGTH);
  return { patienceMs, freezeOnCanary, ...(command !== undefined && { notify: command }) };
}

export function describePlan(plan: BottlePlan, facts: PreflightFacts): PreflightView {
  const { agent } = plan;
  const path = (text: string): string => printable(text, PATH_LENGTH);
  return {
    agent: {
      name: printable(agent.name),
      source: agent.source,
      ...(agent.file === undefined ? {} : { file: path(agent.file) }),
      ...(agent.contentHash === undefined ? {} : { contentHash: agent.contentHash }),
      prompt: firstLine(agent.prompt),
    },
    ...(plan.label === undefined ? {} : { label: printable(plan.label) }),
    ...(plan.task === undefined ? {} : { task: firstLine(plan.task) }),
    bottle: { name: printable(plan.bottle.name), files: plan.bottle.files.map(path) },
    provider: printable(plan.provider.name),
    backend: describeBackend(plan, facts.availability),
    hosts: plan.routes.map(describeRoute),
    presets: (plan.presets ?? []).map(({ name, from, hosts }) => ({
      name,
      from: path(from),
      hosts: hosts.map((host) => printable(host)),
    })),
    ...(plan.upstreamProxy === undefined ? {} : { upstreamProxy: describeProxy(plan.upstreamProxy) }),
    ...(plan.pipelock === true && {
      pipelock: {
        sealed: pipelockPolicy(plan.routes, plan.placeholderHosts ?? []).sealed.map((host) =>
          printable(host),
        ),
      },
    }),
    ...(plan.supervise === undefined ? {} : { supervise: describeSupervise(plan.supervise) }),
    sidecarsConfined: facts.confined !== false,
    ...(plan.bundle !== undefined && { bundle: plan.bundle }),
    hostServices: plan.hostServices ?? [],
    limits: plan.egressLimits ?? {},
    log: plan.egressLog ?? DEFAULT_LOG,
    upstreamCa: plan.upstreamCa.map(path),
    repos: (plan.repos ?? []).map((repo) => describeRepo(repo, facts.availableEnv)),
    credentials: plan.credentials.map((credential) => ({
      tokenRef: credential.tokenRef,
      holder: credential.holder,
      hosts: credential.hosts.map((host) => printable(host)),
      available: facts.availableEnv(credential.tokenRef),
      ...(credential.howToGet === undefined ? {} : { howToGet: printable(credential.howToGet, PATH_LENGTH) }),
    })),
    env: plan.env.map(({ name, source }) => describeEnv(name, source, facts.availableEnv)),
    skills: plan.skills.map((skill) => ({ name: printable(skill.name), path: path(skill.path) })),
    ...(plan.userConfig === undefined ? {} : { userConfig: describeUserConfig(plan.userConfig) }),
    git: {
      ...(plan.git.name === undefined ? {} : { name: printable(plan.git.name) }),
      ...(plan.git.email === undefined ? {} : { email: printable(plan.git.email) }),
    },
    ...(plan.workspaceFrom === undefined ? {} : { workspace: path(plan.workspaceFrom) }),
    mounts: plan.mounts.map(({ from, to }) => ({ from: path(from), to: path(to) })),
    resources: plan.resources,
    ...(plan.image === undefined ? {} : { image: describeImage(plan.image) }),
    warnings: (facts.warnings ?? []).map((warning) => printable(warning, PATH_LENGTH)),
  };
}

function describeImage(image: ImageSource): NonNullable<PreflightView["image"]> {
  return {
    name: printable(imageWord(image), PATH_LENGTH),
    pinned: image.kind === "registry" && image.digest !== undefined,
  };
}

/** By name: no text, no value of a setting, header or variable. */
export function describeUserConfig(config: PlannedUserConfig): NonNullable<PreflightView["userConfig"]> {
  return {
    texts: config.texts.map(({ name, from }) => ({
      name: printable(name),
      from: printable(from, PATH_LENGTH),
    })),
    settings: Object.keys(config.settings).map((key) => printable(key)),
    mcpServers: config.mcpServers.map(({ name, place }) => ({
      name: printable(name),
      at: printable(
        place.type === "stdio" ? [place.command, ...place.args].join(" ") : place.url,
        PATH_LENGTH,
      ),
    })),
  };
}

function firstLine(text: string): string {
  return printable(text.trimStart().split(/\r\n|[\n\r\u2028\u2029]/, 1)[0] ?? "");
}

function describeBackend(plan: BottlePlan, availability: Availability): PreflightView["backend"] {
  const minimum = plan.isolation === undefined ? {} : { minimum: plan.isolation };
  if (!availability.usable) {
    return { name: plan.backend, usable: false, ...minimum, meetsMinimum: false, lacks: availability.lacks };
  }
  return {
    name: plan.backend,
    usable: true,
    isolation: availability.isolation,
    strength: printable(availability.strength),
    ...minimum,
    meetsMinimum: meetsIsolation(plan.isolation, availability.isolation),
    lacks: availability.lacks,
  };
}

function describeRoute(route: Route): PreflightHost {
  const { connectTo } = route;
  const place = connectTo?.host.includes(":") ? `[${connectTo.host}]` : connectTo?.host;
  return {
    host: printable(route.host),
    rules: route.matches.map((match) => printable(describeMatch(match), PATH_LENGTH)),
    ...(route.auth === undefined ? {} : { credential: route.auth.tokenRef }),
    tls: route.tls,
    ...(connectTo === undefined ? {} : { connectTo: printable(`${place}:${connectTo.port}`) }),
    allowAddresses: route.allowAddresses.map((range) => printable(range)),
  };
}

function describeProxy({
  host,
  port,
  tls,
  tokenRef,
}: UpstreamProxyPlace): NonNullable<PreflightView["upstreamProxy"]> {
  const place = host.includes(":") ? `[${host}]` : host;
  return {
    url: printable(`${tls ? "https" : "http"}://${place}:${port}`),
    ...(tokenRef === undefined ? {} : { credential: tokenRef }),
  };
}

function describeEnv(name: string, source: EnvSource, availableEnv: (name: string) => boolean): PreflightEnv {
  switch (source.kind) {
    case "literal":
      return { name: printable(name), from: "literal", available: true };
    case "prompt":
      return { name: printable(name), from: "prompt", detail: printable(source.text), available: true };
    case "host":
      return {
        name: printable(name),
        from: "host",
        detail: printable(source.variable),
        available: availableEnv(source.variable),
      };
  }
}
