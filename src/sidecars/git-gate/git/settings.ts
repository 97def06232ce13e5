/**
 * The only configuration that git obeys here. It lies in a file of ours and takes the place of the user's; the system's
 * is not read, the environment is made anew for every run, and no repository of the guest's is ever worked in: a
 * mirror's own config is what `git init` wrote. So nothing that a push holds can switch anything.
 */
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PRE_RECEIVE } from "./hook.ts";

/** Where the gate keeps what is its own. */
export interface Home {
  /** Mirrors, git's settings and the hook: on a disk that lets the hook be run. */
  readonly stateDir: string;
  /** Sockets and ssh's files. */
  readonly runtimeDir: string;
}

/** Names the time since the host was started; undefined where the system does not say. */
export const BOOT: string | undefined = readBoot();

function readBoot(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return undefined;
  }
}

/** The largest single piece of memory git may ask for: an object that unpacks to more is refused, not unpacked. */
const MAX_ALLOCATION = "1g";

/** For every git that runs here; a local upstream's own repository may say otherwise for itself. */
const SETTINGS: readonly (readonly [section: string, lines: readonly string[]])[] = [
  [
    "core",
    [
      "fsmonitor = false",
      "attributesFile = /dev/null",
      "excludesFile = /dev/null",
      "useReplaceRefs = false",
      "protectHFS = true",
      "protectNTFS = true",
      // Beyond it objects are streamed and not held.
      "bigFileThreshold = 16m",
      "deltaBaseCacheLimit = 64m",
      "packedGitLimit = 512m",
    ],
  ],
  ["gc", ["auto = 0"]],
  ["maintenance", ["auto = false"]],
  ["init", ["defaultBranch = main", "templateDir = "]],
  ["safe", ["directory = *"]],
  ["protocol", ["allow = never", "version = 2"]],
  ["transfer", ["advertiseSID = false", "credentialsInUrl = die"]],
  // Upstream's history may be older than today's rules, and it goes to nobody but the guest.
  [
    "fetch",
    ["fsckObjects = false", "unpackLimit = 1", "writeCommitGraph = false", "recurseSubmodules = false"],
  ],
  ["http", ["followRedirects = false"]],
  ["push", ["default = nothing", "followTags = false", "gpgSign = false", "recurseSubmodules = no"]],
  ["submodule", ["recurse = false"]],
  ["pack", ["threads = 2", "windowMemory = 64m"]],
  ["diff", ["renames = false", "ignoreSubmodules = none"]],
  ["credential", ["helper = "]],
];

/**
 * `-c` settings for what writes into a mirror. Waiting for a disk is most of what a small push would take, and a mirror
 * is a copy: one that a crash of the host may have spoilt is made anew (mirror.ts).
 */
export const MIRROR_SETTINGS: readonly string[] = BOOT === undefined ? [] : ["-c", "core.fsync=none"];

/** `-c` settings for what serves the guest. */
export function servingSettings(home: Home): readonly string[] {
  const settings = [
    `core.hooksPath=${hooksFolder(home)}`,
    "http.receivepack=true",
    "http.uploadpack=true",
    // Files of a repository, reachable or not.
    "http.getanyfile=false",
    "receive.fsckObjects=true",
    "receive.unpackLimit=1",
    "receive.shallowUpdate=false",
    "receive.advertisePushOptions=false",
    "receive.autogc=false",
    "receive.updateServerInfo=false",
    "receive.keepAlive=5",
    // Judged in the hook, which runs before these would, and by rules of its own.
    "receive.denyNonFastForwards=false",
    "receive.denyDeletes=false",
    "receive.denyDeleteCurrent=ignore",
    // A partial clone asks for single blobs by id. All that is here came from upstream's branches and tags.
    "uploadpack.allowFilter=true",
    "uploadpack.allowAnySHA1InWant=true",
    "uploadpack.keepAlive=5",
  ];
  return [...MIRROR_SETTINGS, ...settings.flatMap((setting) => ["-c", setting])];
}

/** Writes settings and hook. The folders exist. */
export async function writeSettings(home: Home): Promise<void> {
  const hooks = hooksFolder(home);
  await mkdir(hooks, { recursive: true, mode: 0o700 });
  await writeFile(join(hooks, "pre-receive"), PRE_RECEIVE, { mode: 0o700 });
  await chmod(join(hooks, "pre-receive"), 0o700);
  const text = SETTINGS.map(([section, lines]) => [`[${section}]`, ...lines.map((line) => `\t${line}`)]);
  await writeFile(settingsFile(home), `${text.flat().join("\n")}\n`, { mode: 0o600 });
}

function settingsFile(home: Home): string {
  return join(home.stateDir, "gitconfig");
}

function hooksFolder(home: Home): string {
  return join(home.stateDir, "hooks");
}

/** The hook's file, for the trial run at start. */
export function hookFile(home: Home): string {
  return join(hooksFolder(home), "pre-receive");
}

/** The whole environment of every git: nothing of our own is inherited but where programs are. */
export function gitEnvironment(home: Home): Readonly<Record<string, string>> {
  return {
    PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
    HOME: "/nonexistent",
    LC_ALL: "C",
    LANGUAGE: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: settingsFile(home),
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_OPTIONAL_LOCKS: "0",
    // What a repository says should stand in an object's place would change what is looked at.
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_NO_LAZY_FETCH: "1",
    GIT_ALLOC_LIMIT: MAX_ALLOCATION,
  };
}
