/** The preflight for people: titled lines, in the order in which they matter. Pure; colours are the CLI's. */
import type { EnvSource } from "../contract/plan.ts";
import type { PreflightEnv, PreflightHost, PreflightView } from "./preflight.ts";
import type { PreflightRepo } from "./preflight-repo.ts";

export interface PreflightSection {
  readonly title: string;
  /** Never empty. */
  readonly lines: readonly string[];
}

/** Sections with nothing to say are left out, except those whose emptiness is the message. */
export function preflightSections(view: PreflightView): readonly PreflightSection[] {
  const section = (title: string, lines: readonly string[]): PreflightSection[] =>
    lines.length === 0 ? [] : [{ title, lines }];
  const orNone = (lines: readonly string[], none: string): readonly string[] =>
    lines.length === 0 ? [none] : lines;
  return [
    ...section("agent", agentLines(view)),
    ...section("prompt", view.agent.prompt === "" ? [] : [view.agent.prompt]),
    ...section("task", view.task === undefined ? [] : [view.task]),
    ...section("bottle", [`${view.bottle.name}${inParentheses(view.bottle.files)}`]),
    ...section("backend", backendLines(view)),
    ...section("sidecars", sidecarLines(view)),
    ...section("image", imageLines(view)),
    ...section("may reach", orNone([...view.hosts.flatMap(hostLines), ...serviceLines(view)], "nothing")),
    ...section("presets", view.presets.map(presetLine)),
    ...section("leaves through", proxyLines(view)),
    ...section("may ask", superviseLines(view)),
    ...section("at most", limitLines(view.limits)),
    ...section("logged", LOGGED[view.log]),
    ...section("trusts besides", view.upstreamCa),
    ...section("repositories", view.repos.flatMap(repoLines)),
    ...section("credentials", view.credentials.map(credentialLine)),
    ...section("agent gets", view.env.map(envLine)),
    ...section(
      "skills",
      view.skills.map(({ name, path }) => `${name} (${path})`),
    ),
    ...section("yours", userConfigLines(view)),
    ...section("commits as", identityLines(view)),
    ...section(
      "workspace",
      orNone(view.workspace === undefined ? [] : [`a copy of ${view.workspace}`], "empty"),
    ),
    ...section(
      "mounts",
      view.mounts.map(({ from, to }) => `${from} at ${to}, read-only`),
    ),
    ...section("resources", [resourceLine(view)]),
    ...section("warnings", view.warnings),
  ];
}

function agentLines({ agent, label, provider }: PreflightView): readonly string[] {
  const from: Record<typeof agent.source, string> = {
    home: "yours",
    repository: "brought by the repository",
    "built-in": "built in",
  };
  const details = [from[agent.source], ...(agent.file === undefined ? [] : [agent.file])];
  return [
    `${agent.name}${inParentheses(details)}, runs ${provider}${label === undefined ? "" : `, labelled ${label}`}`,
    ...(agent.source === "repository" && agent.contentHash !== undefined
      ? [`sha256 ${agent.contentHash}`]
      : []),
  ];
}

function backendLines({ backend }: PreflightView): readonly string[] {
  const minimum = backend.minimum === undefined ? "" : `; the bottle wants ${backend.minimum} or stronger`;
  const strength = backend.usable ? `: ${backend.strength}` : ": cannot be used here";
  return [
    `${backend.name}${strength}${minimum}${!backend.usable || backend.meetsMinimum ? "" : ", which this is not"}`,
    ...backend.lacks.map(({ what, remedy }) => `without ${what}: ${remedy}`),
  ];
}

function imageLines({ image }: PreflightView): readonly string[] {
  if (image === undefined) return [];
  const isNamed = image.name.startsWith("docker://") && !image.pinned;
  return [`${image.name}${isNamed ? ", whatever its registry calls so: pin it with @sha256:…" : ""}`];
}

function hostLines(host: PreflightHost): string[] {
  const notes = [
    ...(host.credential === undefined ? [] : [`with the credential ${host.credential}`]),
    ...(host.tls === "passthrough" ? ["NOT INSPECTED"] : []),
    ...(host.host.startsWith("*.") ? ["through the proxy only"] : []),
    ...(host.connectTo === undefined ? [] : [`at ${host.connectTo}`]),
    ...(host.allowAddresses.length === 0 ? [] : [`also at ${host.allowAddresses.join(", ")}`]),
  ];
  const head = [host.host, ...notes].join(", ");
  if (host.rules.length === 0) return [`${head}: everything`];
  return [`${head}:`, ...host.rules.map((rule) => `  ${rule}`)];
}

function sidecarLines({ bundle, sidecarsConfined }: PreflightView): readonly string[] {
  if (bundle === "container") return ["in a container"];
  return sidecarsConfined
    ? []
    : ["NOT CONFINED: this host has no namespaces; each sees what your programs see"];
}

function serviceLines({ hostServices }: PreflightView): readonly string[] {
  return hostServices.length === 0
    ? []
    : [
        `what listens on this host at port ${hostServices.join(", ")}, NOT INSPECTED, where its filter knows no ports`,
      ];
}

function presetLine({ name, from, hosts }: PreflightView["presets"][number]): string {
  return `${name} (${from}): ${hosts.join(", ")}`;
}

function proxyLines({ upstreamProxy: proxy, pipelock }: PreflightView): readonly string[] {
  if (pipelock !== undefined) {
    const { sealed } = pipelock;
    const closed = sealed.length === 0 ? "" : `, which does not look into what goes to ${sealed.join(", ")}`;
    return [`your pipelock${closed}`];
  }
  if (proxy === undefined) return [];
  const { url, credential } = proxy;
  return [
    `${url}${credential === undefined ? "" : `, with the credential ${credential}`}`,
    "names are resolved there: what is private there and unknown here is not refused",
  ];
}

function superviseLines({ supervise }: PreflightView): readonly string[] {
  if (supervise === undefined) return [];
  const { patienceMs, notify, freezeOnCanary } = supervise;
  return [
    `for more, in bottle inbox; without an answer in ${patienceMs / 1_000} seconds the answer is no`,
    ...(notify === undefined ? [] : [`each time this is started here: ${notify}`]),
    ...(freezeOnCanary ? ["the bottle freezes when its decoy credential is on the way out"] : []),
  ];
}

/** The usual is not said. */
const LOGGED: Readonly<Record<PreflightView["log"], readonly string[]>> = {
  0: ["to which hosts it was let, and denials: not what it did there"],
  1: [],
  2: ["requests, with the names and sizes of their headers"],
};

function limitLines(limits: PreflightView["limits"]): readonly string[] {
  const line = (value: number | undefined, text: (value: number) => string): string[] =>
    value === undefined ? [] : [text(value)];
  return [
    ...line(limits.requestsPerMinute, (value) => `${value} requests a minute`),
    ...line(limits.uploadBytesPerMinute, (value) => `${memoryText(value)} sent a minute`),
    ...line(limits.downloadBytesPerMinute, (value) => `${memoryText(value)} received a minute`),
    ...line(limits.requests, (value) => `${value} requests at once`),
    ...line(limits.connections, (value) => `${value} connections at once`),
    ...line(limits.headerBytes, (value) => `${value} bytes of headers`),
    ...line(limits.idleSeconds, (value) => `${value} seconds without a byte`),
    ...line(limits.tunnelIdleSeconds, (value) => `${value} seconds without a byte in a tunnel`),
  ];
}

function repoLines(repo: PreflightRepo): string[] {
  return [
    `${repo.name}: ${repo.url}, ${repo.proof}${repo.pinned === undefined ? "" : `, ${repo.pinned}`}`,
    `  may be pushed: ${repo.mayPush.join(", ")}`,
    ...(repo.onlyPaths.length === 0 ? [] : [`  only where it changes ${repo.onlyPaths.join(", ")}`]),
    ...(repo.unprotected.length === 0 ? [] : [`  UNPROTECTED: ${repo.unprotected.join(", ")}`]),
    ...repo.excepted.map((exception) => `  EXCEPTED: ${exception}`),
    ...(repo.limits.length === 0 ? [] : [`  at most ${repo.limits.join(", ")}`]),
    ...(repo.review ? ["  REVIEW: every push waits for you, in bottle inbox"] : []),
  ];
}

function credentialLine(credential: PreflightView["credentials"][number]): string {
  const line = `${credential.tokenRef}, held by ${credential.holder} for ${credential.hosts.join(", ")}`;
  if (credential.available) return line;
  return `${line} - MISSING${credential.howToGet === undefined ? "" : `: ${credential.howToGet}`}`;
}

function envLine(env: PreflightEnv): string {
  const from: Record<EnvSource["kind"], string> = {
    literal: "from the manifest",
    prompt: `asked at launch: ${env.detail ?? ""}`,
    host: `your ${env.detail ?? ""}`,
  };
  return `${env.name} (${from[env.from]})${env.available ? "" : " - MISSING"}`;
}

function userConfigLines({ userConfig }: PreflightView): readonly string[] {
  if (userConfig === undefined) return [];
  const { texts, settings, mcpServers } = userConfig;
  return [
    ...texts.map(({ name, from }) => `${name} (${from})`),
    ...(settings.length === 0 ? [] : [`settings: ${settings.join(", ")}`]),
    ...mcpServers.map(({ name, at }) => `MCP server ${name}: ${at}`),
  ];
}

function identityLines({ git }: PreflightView): readonly string[] {
  const parts = [
    ...(git.name === undefined ? [] : [git.name]),
    ...(git.email === undefined ? [] : [`<${git.email}>`]),
  ];
  return parts.length === 0 ? [] : [parts.join(" ")];
}

function resourceLine({ resources, backend }: PreflightView): string {
  // A machine is made with some; what it has unless told is said of its backend.
  const rest = backend.isolation === "vm" ? "the machine's" : "all";
  return [
    `processors: ${resources.cpus ?? rest}`,
    `memory: ${resources.memoryBytes === undefined ? rest : memoryText(resources.memoryBytes)}`,
    ...(resources.diskBytes === undefined ? [] : [`disk: ${memoryText(resources.diskBytes)}`]),
    `processes: ${resources.pids}`,
  ].join(", ");
}

const UNITS = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
] as const;

function memoryText(bytes: number): string {
  for (const [unit, size] of UNITS) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(2))} ${unit}`;
  }
  return `${bytes} bytes`;
}

function inParentheses(parts: readonly string[]): string {
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}
