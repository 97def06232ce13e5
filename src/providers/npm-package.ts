/**
 * Brings one package, pinned by the hash of its bytes, from the operator's own npm registry into the
 * cache. The operator's npm fetches it, so their registry, proxy and login are used; nothing of the
 * package runs here, no install script either; what does not hash to the pin is never unpacked.
 * The folder appears whole or not at all.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Progress } from "../contract/backend.ts";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { makePrivateDir } from "../lib/paths.ts";
import { type RunResult, run, runOk } from "../lib/processes.ts";
import { recordHolds, writeRecord } from "./installed-record.ts";
import { npmFailure } from "./npm-failure.ts";
import type { PinnedPackage } from "./pinned-package.ts";

export interface InstallOptions {
  readonly progress: Progress;
  /** Where `npm` and its configuration are found. Default the operator's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Ends npm or tar where they are. */
  readonly signal?: AbortSignal;
}

/** 167 MB at a tenth of a megabyte a second take half an hour. */
const DOWNLOAD_TIMEOUT_MS = 30 * 60_000;
/** Seconds on a laptop, minutes on the slowest card. */
const UNPACK_TIMEOUT_MS = 5 * 60_000;
/** npm says nothing while it downloads; this shows that it is alive. */
const TICK_MS = 5_000;
/** npm's own waits between attempts are up to a minute long, and a person is watching. */
const RETRY_WAIT = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"] as const;

/**
 * Makes sure that `dir` holds the package's files. Where it already does, costs a few `stat`s.
 * @throws UserError naming the step that failed and what to run.
 */
export async function installPackage(
  pin: PinnedPackage,
  dir: string,
  options: InstallOptions,
): Promise<void> {
  const isInstalled = (): Promise<boolean> => recordHolds(dir, pin.integrity, Object.keys(pin.files));
  if (await isInstalled()) return;
  try {
    await makePrivateDir(dirname(dir));
    const lock = await acquireLock(`${dir}.lock`, {
      waitMs: Number.POSITIVE_INFINITY,
      onWait: () => options.progress(`waiting for another bottle to finish installing ${pin.product}`),
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    try {
      if (!(await isInstalled())) await fetchInto(pin, dir, options);
    } finally {
      await lock.release();
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    throw cacheFailure(error, dirname(dir));
  }
}

async function fetchInto(pin: PinnedPackage, dir: string, options: InstallOptions): Promise<void> {
  const work = `${dir}.partial`;
  // What an installer that was killed left behind.
  await rm(work, { recursive: true, force: true });
  // Twice the tarball: npm keeps one in its own cache, often on the same disk.
  await requireSpace(dirname(dir), pin.unpackedBytes + 2 * pin.downloadBytes);
  await mkdir(work, { mode: 0o700 });
  try {
    const tarball = await download(pin, work, options);
    await verify(pin, tarball);
    const tree = join(work, "tree");
    await unpack(pin, tarball, tree, options);
    await writeRecord(tree, pin.integrity, Object.keys(pin.files));
    await rm(dir, { recursive: true, force: true });
    await rename(tree, dir);
    options.progress(`${pin.product} ${pin.version} is installed in ${dir}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function download(pin: PinnedPackage, work: string, options: InstallOptions): Promise<string> {
  const size = megabytes(pin.downloadBytes);
  options.progress(`installing ${pin.product} ${pin.version} with npm, once: downloading ${size}`);
  const begun = Date.now();
  const tick = setInterval(() => {
    const seconds = Math.round((Date.now() - begun) / 1_000);
    options.progress(`still downloading ${pin.product} (${size}), ${seconds} s so far`);
  }, TICK_MS);
  let result: RunResult;
  try {
    result = await run(
      [
        "npm",
        "pack",
        `${pin.name}@${pin.version}`,
        "--ignore-scripts",
        "--loglevel=error",
        "--no-update-notifier",
        ...RETRY_WAIT,
      ],
      {
        cwd: work,
        timeoutMs: DOWNLOAD_TIMEOUT_MS,
        env: options.env ?? process.env,
        ...(options.signal && { signal: options.signal }),
      },
    );
  } catch (error) {
    throw npmFailure(pin, codeOf(error) === "ENOENT" ? "npm: ENOENT" : messageOf(error));
  } finally {
    clearInterval(tick);
  }
  if (result.code !== 0) throw npmFailure(pin, result.stderr);
  const tarball = (await readdir(work)).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw npmFailure(pin, "npm pack left no file behind");
  return join(work, tarball);
}

async function verify(pin: PinnedPackage, tarball: string): Promise<void> {
  const hash = createHash("sha512");
  await pipeline(createReadStream(tarball), hash);
  const got = `sha512-${hash.digest("base64")}`;
  if (got === pin.integrity) return;
  throw new UserError(
    `${pin.name}@${pin.version} from your npm registry is not the package that bot-bottle was made for: it hashes to ${got}, not ${pin.integrity}`,
    { hint: "nothing was installed; look at `npm config get registry`, and tell whoever runs it" },
  );
}

async function unpack(
  pin: PinnedPackage,
  tarball: string,
  tree: string,
  options: InstallOptions,
): Promise<void> {
  options.progress(`unpacking ${pin.product} (${megabytes(pin.unpackedBytes)})`);
  await mkdir(tree);
  const from = pin.folder === undefined ? "package" : `package/${pin.folder}`;
  const members = Object.keys(pin.files).map((file) => `${from}/${file}`);
  const strip = `--strip-components=${from.split("/").length}`;
  try {
    await runOk(["tar", "-xzf", tarball, "-C", tree, strip, "--no-same-owner", ...members], {
      timeoutMs: UNPACK_TIMEOUT_MS,
      ...(options.signal && { signal: options.signal }),
    });
  } catch (error) {
    if (isDiskFull(error)) throw error;
    throw new UserError(`cannot unpack ${pin.product}: ${messageOf(error)}`, {
      hint: "tar and gzip must be installed; then try again",
      cause: error,
    });
  }
  // Whatever the operator's umask is: the guest's user is somebody else, who reads and runs these.
  const folders = new Set(Object.keys(pin.files).map((file) => dirname(join(tree, file))));
  for (const folder of [tree, ...folders]) await chmod(folder, 0o755);
  for (const [file, mode] of Object.entries(pin.files)) await chmod(join(tree, file), mode);
}

async function requireSpace(dir: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize < bytes) throw notEnoughSpace(dir, `: ${megabytes(bytes)} are needed`);
}

function notEnoughSpace(dir: string, detail = ""): UserError {
  return new UserError(`not enough space below ${dir}${detail}`, {
    hint: "free some, or set BOT_BOTTLE_CACHE to a directory on a larger disk",
  });
}

/** Tar has only words for it. */
function isDiskFull(error: unknown): boolean {
  return codeOf(error) === "ENOSPC" || messageOf(error).includes("No space left on device");
}

/** Codes of a cache that is somebody else's, read-only, or under a file. */
const NOT_WRITABLE: ReadonlySet<string | undefined> = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "EEXIST",
  "ENOTDIR",
]);

function cacheFailure(error: unknown, dir: string): unknown {
  if (error instanceof UserError) return error;
  if (isDiskFull(error)) return notEnoughSpace(dir);
  if (!NOT_WRITABLE.has(codeOf(error))) return error;
  return new UserError(`cannot write ${dir}: ${codeOf(error)}`, {
    hint: "set BOT_BOTTLE_CACHE to a directory you can write",
    cause: error,
  });
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
