/**
 * The programs that make the root of a Debian or Ubuntu system, each as a stream of a tar: mmdebstrap, and debootstrap for
 * root where that is missing. apt checks what they download.
 */
import { spawn } from "node:child_process";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { makeTemporaryDir } from "../lib/paths.ts";
import { printable } from "../lib/printable.ts";
import { exited } from "../lib/processes.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { DebianSources } from "./debian-sources.ts";
import { packFolder } from "./folder-image.ts";

/** Nobody reads them here, and they are a third of it. */
export const LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];

/** What is younger gets this time: the same packages make the same image. 2026-01-01. */
const MADE_AT = "1767225600";

/** A slow mirror and a slow disk; an hour without an end is a hang. */
const TIMEOUT_MS = 60 * 60_000;
const MAX_STDERR_CHARACTERS = 4_000;
export const FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

interface Making {
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** A tar on stdout, with every owner, device and capability as the packages want them. */
export async function* mmdebstrap(
  { suite, lines }: DebianSources,
  packages: readonly string[],
  about: Making,
): AsyncGenerator<Buffer, void, void> {
  // In a folder of the operator's own the other user numbers of his could not work.
  const area = makeTemporaryDir("bottle-recipe-");
  try {
    await chmod(area, 0o711);
    const argv = [
      "mmdebstrap",
      `--mode=${process.getuid?.() === 0 ? "root" : "unshare"}`,
      "--variant=minbase",
      "--format=tar",
      `--include=${packages.join(",")}`,
      ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
      suite,
      "-",
      "-",
    ];
    yield* outputOf(argv, {
      stdin: `${lines.join("\n")}\n`,
      env: { TMPDIR: area, SOURCE_DATE_EPOCH: MADE_AT },
      ...about,
    });
  } finally {
    await removeTree(area);
  }
}

/** By way of a folder in `workDir`. */
export async function* debootstrap(
  { suite, lines }: DebianSources,
  packages: readonly string[],
  workDir: string,
  about: Making,
): AsyncGenerator<Buffer, void, void> {
  const [, signedBy = "", uri = ""] = /^deb \[signed-by=(\S+)\] (\S+)/.exec(lines[0] ?? "") ?? [];
  const root = join(workDir, "root");
  const argv = [
    "debootstrap",
    "--variant=minbase",
    `--keyring=${signedBy}`,
    `--include=${packages.join(",")}`,
    suite,
    root,
    uri,
  ];
  for await (const line of outputOf(argv, { stdin: "", env: {}, ...about }))
    about.progress(`built-in image: ${shortLine(line.toString()).replace(/^I: /, "")}`);
  await removeTree(join(root, "var/cache/apt/archives"));
  yield* packFolder(root, about.signal);
}

interface ProgramOptions extends Making {
  readonly stdin: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What a program writes; its stderr is progress. @throws UserError when it fails. */
async function* outputOf(
  [command = "", ...args]: readonly string[],
  { stdin, env, progress, signal }: ProgramOptions,
): AsyncGenerator<Buffer, void, void> {
  const stop = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]);
  const proxies = Object.entries(process.env).filter(([name]) => /^(?:https?|no)_proxy$/i.test(name));
  const child = spawn(command, args, {
    env: {
      ...Object.fromEntries(proxies),
      ...env,
      PATH: FOLDERS,
      HOME: "/",
      LC_ALL: "C.UTF-8",
      DEBIAN_FRONTEND: "noninteractive",
    },
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe"],
    // Told to stop, it takes its mounts away itself.
    signal: stop,
  });
  let stderr = "";
  let failure: unknown;
  child.on("error", (error) => {
    failure = error;
  });
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-MAX_STDERR_CHARACTERS);
    const line = /^I: (.*)\n$/.exec(chunk.toString())?.[1];
    if (line !== undefined) progress(`built-in image: ${shortLine(line)}`);
  });
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    await exited(child);
  } finally {
    if (child.exitCode === null) child.kill("SIGTERM");
  }
  signal?.throwIfAborted();
  if (child.exitCode === 0) return;
  throw new UserError(
    `${command} could not make the built-in image: ${codeOf(failure) ?? printable(lastWords(stderr), 600)}`,
    {
      hint: "see that apt-get update works on this host; bottle image build built-in tries again",
      cause: failure,
    },
  );
}

function shortLine(text: string): string {
  return printable(text.trim().split("\n").at(-1) ?? "", 100);
}

/** The errors of what it said, else its end. */
function lastWords(stderr: string): string {
  const errors = stderr.split("\n").filter((line) => /^(?:E:|W: .*fail)/.test(line));
  return (errors.length > 0 ? errors : stderr.trim().split("\n").slice(-3)).join("; ");
}
