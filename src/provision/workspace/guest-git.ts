/**
 * git inside the guest, on the agent's workspace. The agent may have set any configuration, hook, filter or
 * submodule there; whatever they do, they do in the guest. What git answers is the guest's word, no more.
 *
 * Our own objects and index lie beside the workspace, so that they neither show in the agent's repository nor
 * disappear with its `git gc`. The agent can destroy them; only its own work then comes out less well.
 */
import type { Readable } from "node:stream";
import { GUEST } from "../../contract/backend.ts";
import {
  failed,
  type GuestCommandOptions,
  type GuestExec,
  type GuestResult,
  runInGuest,
  streamFromGuest,
} from "../guest-command.ts";
import type { ObjectFormat } from "./repository.ts";

const SNAPSHOT_DIR = `${GUEST.home}/.bottle/snapshot.git`;
const SNAPSHOT_INDEX = `${SNAPSHOT_DIR}/index`;

/** For speed and quiet only: a hostile guest can undo every one of these. */
const QUIET = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.splitIndex", "false"],
  ["gc.auto", "0"],
  ["advice.addEmbeddedRepo", "false"],
  ["core.safecrlf", "false"],
  // Some backends show the folder as another user's.
  ["safe.directory", "*"],
] as const;

const ENV = {
  LC_ALL: "C",
  GIT_TERMINAL_PROMPT: "0",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_NO_LAZY_FETCH: "1",
  // What the agent did to its own settings must not keep its work inside.
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  // The workspace's repository, or none: never one above it.
  GIT_CEILING_DIRECTORIES: GUEST.home,
} as const;

/** And its files: `core.worktree` may say that they are others. */
const WORK_TREE = { GIT_WORK_TREE: GUEST.workspace } as const;

/** What the workspace is at this moment. */
export interface GuestRepository {
  readonly objectFormat: ObjectFormat;
  /** Guest paths. */
  readonly objects: string;
  readonly index: string;
}

export interface GitInput {
  readonly stdin?: Readable | Buffer | string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface GuestGit {
  readonly objectFormat: ObjectFormat;
  /** Guest path of our index. */
  readonly index: string;
  /** The workspace's own repository; undefined when it is a plain folder. */
  readonly repository: GuestRepository | undefined;
  /** Reads the agent's repository as the agent sees it. Below `folder` (guest path) when given. */
  asAgent(args: readonly string[], folder?: string): Promise<GuestResult<Buffer>>;
  /** Works with our index and writes to our objects; sees the agent's too. */
  run(args: readonly string[], input?: GitInput): Promise<GuestResult<Buffer>>;
  /** Like `run`; any exit code but 0 throws a UserError. */
  ok(args: readonly string[], input?: GitInput): Promise<Buffer>;
  /** Like `ok`, its output streamed. */
  stream<T>(args: readonly string[], input: GitInput, consume: (stdout: Readable) => Promise<T>): Promise<T>;
  /** Starts our index from the agent's, or from nothing. */
  resetIndex(): Promise<void>;
}

/**
 * Looks at the workspace and makes our own store if it is not there.
 * @param expected the format of an earlier snapshot: a repository of another one is taken for no repository
 */
export async function openGuestGit(exec: GuestExec, expected?: ObjectFormat): Promise<GuestGit> {
  const found = await inspect(exec);
  const repository = expected === undefined || found?.objectFormat === expected ? found : undefined;
  const objectFormat = expected ?? repository?.objectFormat ?? "sha1";
  const init = ["init", "-q", "--bare", "--template=", `--object-format=${objectFormat}`, SNAPSHOT_DIR];
  // An agent may remove the folder it works in; an empty one has no work, and git wants to be somewhere.
  const makeBoth = ["sh", "-c", 'mkdir -p "$0" && exec "$@"', GUEST.workspace, ...command(init)] as const;
  outputOf(await runInGuest(exec, makeBoth, { cwd: GUEST.home, env: ENV }), init);

  const env = {
    ...ENV,
    ...WORK_TREE,
    GIT_INDEX_FILE: SNAPSHOT_INDEX,
    GIT_OBJECT_DIRECTORY: `${SNAPSHOT_DIR}/objects`,
    ...(repository === undefined
      ? { GIT_DIR: SNAPSHOT_DIR }
      : { GIT_ALTERNATE_OBJECT_DIRECTORIES: repository.objects }),
  };
  const settings = (args: readonly string[], input: GitInput = {}): GuestCommandOptions => ({
    cwd: GUEST.workspace,
    name: nameOf(args),
    env: { ...env, ...input.env },
    ...(input.stdin !== undefined && { stdin: input.stdin }),
  });
  const run: GuestGit["run"] = (args, input) => runInGuest(exec, command(args), settings(args, input));
  return {
    objectFormat,
    index: SNAPSHOT_INDEX,
    repository,
    run,
    asAgent: (args, folder = GUEST.workspace) =>
      runInGuest(exec, command(["-C", folder, ...args]), {
        cwd: GUEST.workspace,
        env: { ...ENV, ...(folder === GUEST.workspace && WORK_TREE) },
        name: nameOf(args),
      }),
    async ok(args, input) {
      return outputOf(await run(args, input), args);
    },
    async stream(args, input, consume) {
      return outputOf(await streamFromGuest(exec, command(args), settings(args, input), consume), args);
    },
    async resetIndex() {
      const from = repository?.index ?? "/dev/null";
      await runInGuest(exec, ["sh", "-c", RESET_INDEX, SNAPSHOT_INDEX, from], { cwd: GUEST.home });
    },
  };
}

/** A lock may be left from a git that was killed. Without an index of the agent's there is nothing to start from. */
const RESET_INDEX = 'rm -f "$0" "$0.lock"; [ ! -f "$1" ] || cp -- "$1" "$0"';

async function inspect(exec: GuestExec): Promise<GuestRepository | undefined> {
  const absolute = "--path-format=absolute";
  const args = [
    "rev-parse",
    "--show-object-format",
    absolute,
    "--git-path",
    "objects",
    "--git-path",
    "index",
  ];
  const answer = await runInGuest(exec, command(["-C", GUEST.workspace, ...args]), {
    cwd: GUEST.home,
    env: ENV,
  });
  const [format, objects, index] = answer.stdout.toString("utf8").split("\n");
  if (answer.code !== 0 || objects === undefined || index === undefined) return undefined;
  return { objectFormat: format === "sha256" ? "sha256" : "sha1", objects, index };
}

function command(args: readonly string[]): readonly [string, ...string[]] {
  return ["git", ...QUIET.flatMap(([key, value]) => ["-c", `${key}=${value}`]), ...args];
}

function nameOf(args: readonly string[]): string {
  return `git ${args[0] ?? ""}`;
}

function outputOf<T>(result: GuestResult<T>, args: readonly string[]): T {
  if (result.code !== 0) throw failed(nameOf(args), `exited ${result.code}`, result.stderr);
  return result.stdout;
}
