/**
 * One repository as the guest sees it: a bare mirror of upstream's refs, never more than upstream has. It is a cache:
 * whenever the two differ, upstream is right, and the next refresh shows it. All that moves a ref here (a refresh, the
 * end of a push) holds the mirror's lock.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GitRepoPolicy } from "../../contract/git-gate.ts";
import { messageOf } from "../../lib/errors.ts";
import { allow, type Refusal, refuse, type Verdict } from "./denial.ts";
import type { Ended, Git, Place } from "./git/run.ts";
import { BOOT, type Home, MIRROR_SETTINGS } from "./git/settings.ts";
import { LIMITS } from "./limits.ts";
import { createLock } from "./lock.ts";
import { failureOf, wordsForLog } from "./upstream/failure.ts";
import { differences, parseRefs, parseRemoteRefs, type Refs, type RemoteRefs } from "./upstream/refs.ts";
import type { Remote } from "./upstream/remote.ts";

export interface Mirror {
  readonly place: Place;
  /** False until the first refresh: of one that was kept nobody knows which refs stand for others. */
  exists(): boolean;
  /** Makes it equal to upstream. Those who ask while one runs share the next one, which begins after they asked. */
  refresh(): Promise<Verdict<{ readonly changed: number }>>;
  /**
   * Says that a receive-pack begins. What it gives is to be called when that has ended, with whether by itself: one
   * that was killed leaves locks and objects, which are removed when no other one runs.
   */
  receiving(): Promise<(byItself: boolean) => Promise<void>>;
  /** Holds off every other change of a ref. */
  lock(): Promise<() => void>;
  /** As they are now: read once, and kept until they may have moved. */
  refs(): Promise<Refs>;
  /** To be called with the lock held, after a receive-pack that was let move refs has ended. */
  moved(): void;
  /** Upstream's symbolic refs, as of the last refresh. */
  symbolic(): ReadonlySet<string>;
}

export interface MirrorOptions {
  readonly name: string;
  readonly home: Home;
  readonly git: Git;
  readonly remote: Remote;
  /** For the operator: what went wrong, in the program's own words. */
  readonly log: (text: string) => void;
  /** Asked at each refresh: the policy can change. */
  readonly policy: () => GitRepoPolicy;
}

/** Removes what a killed gate left half done, so that nothing is locked for ever. */
export async function openMirror(options: MirrorOptions): Promise<Mirror> {
  const { name, home, git, remote } = options;
  const gitDir = join(home.stateDir, `${name}.git`);
  const place: Place = { gitDir };
  const lock = createLock();
  let symbolic: ReadonlySet<string> | undefined;
  if (existsSync(gitDir) && !isOfThisBoot(gitDir)) await rm(gitDir, { recursive: true, force: true });
  if (existsSync(gitDir)) await sweep(gitDir);

  let receivers = 0;
  let isLittered = false;
  let sweeping: Promise<void> = Promise.resolve();

  /** With the lock held. */
  async function clean(): Promise<void> {
    if (!isLittered || receivers > 0) return;
    isLittered = false;
    sweeping = sweep(gitDir).catch((error: unknown) => {
      options.log(`${name}: what a killed program left could not be removed: ${messageOf(error)}`);
    });
    await sweeping;
  }

  async function receiving(): Promise<(byItself: boolean) => Promise<void>> {
    for (let seen: unknown; seen !== sweeping; await seen) seen = sweeping;
    receivers += 1;
    return async (byItself) => {
      receivers -= 1;
      isLittered ||= !byItself;
      if (!isLittered || receivers > 0) return;
      const release = await lock.take();
      await clean().finally(release);
    };
  }

  let moves = 0;
  let known: { readonly refs: Refs; readonly at: number } | undefined;
  const moved = (): void => {
    moves += 1;
  };

  async function refs(): Promise<Refs> {
    if (known?.at === moves) return known.refs;
    const at = moves;
    const read = parseRefs(await git.must(place, ["for-each-ref", "--format=%(objectname) %(refname)"]));
    // Of a list that was read while refs moved nobody knows which ones it shows.
    if (at === moves) known = { refs: read, at };
    return read;
  }

  function failed(ended: Ended): Refusal {
    options.log(`${name}: upstream could not be read: ${wordsForLog(ended, remote)}`);
    return failureOf(ended, remote);
  }

  async function list(hierarchies: readonly string[]): Promise<Verdict<RemoteRefs>> {
    const { url, args, env, credential } = remote;
    const ended = await git.run(undefined, [...args, "ls-remote", "--symref", "--", url], {
      env,
      timeoutMs: LIMITS.listMs,
      ...(credential !== undefined && { credential }),
    });
    if (ended.code !== 0) return failed(ended);
    return allow(parseRemoteRefs(ended.stdout.toString("utf8"), hierarchies));
  }

  async function fetch(hierarchies: readonly string[]): Promise<Refusal | undefined> {
    const { url, args, env, credential } = remote;
    const options = [
      "--prune",
      "--no-tags",
      "--no-write-fetch-head",
      "--no-auto-maintenance",
      "--update-head-ok",
      "--quiet",
    ];
    const specs = hierarchies.map((prefix) => `+${prefix}*:${prefix}*`);
    const ended = await git.run(
      place,
      [...args, ...MIRROR_SETTINGS, "fetch", ...options, "--", url, ...specs],
      {
        env,
        timeoutMs: LIMITS.refreshMs,
        ...(credential !== undefined && { credential }),
      },
    );
    moved();
    if (ended.code === 0) return undefined;
    isLittered = true;
    await clean();
    return failed(ended);
  }

  async function create(format: string): Promise<void> {
    const draft = `${gitDir}.new`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    await git.must({ gitDir: draft }, ["init", "--bare", "--quiet", `--object-format=${format}`, "."], {
      cwd: draft,
    });
    if (BOOT !== undefined) await writeFile(join(draft, BOOT_FILE), BOOT);
    await rm(gitDir, { recursive: true, force: true });
    await rename(draft, gitDir);
    moved();
  }

  async function refresh(): Promise<Verdict<{ readonly changed: number }>> {
    if (remote.unpinned) {
      return refuse(
        "host-key-unpinned",
        "no host key is pinned for this upstream, and the gate trusts none on first use",
        "host_key of the repository",
      );
    }
    return await remote.talk(bringUp);
  }

  async function bringUp(): Promise<Verdict<{ readonly changed: number }>> {
    const hierarchies = hierarchiesOf(options.policy());
    // The one is read while the other is waited for.
    const [listed] = await Promise.all([list(hierarchies), existsSync(gitDir) && refs()]);
    if (!listed.allow) return listed;
    const { refs: wanted, head } = listed.value;
    symbolic = listed.value.symbolic;
    if (isCurrent(head) && differences(await refs(), wanted) === 0 && !(await isCrowded(place))) {
      return allow({ changed: 0 });
    }
    const release = await lock.take();
    try {
      if (!existsSync(gitDir)) await create(formatOf(wanted));
      const changed = differences(await refs(), wanted);
      if (changed > 0) {
        const failure = await fetch(hierarchies);
        if (failure !== undefined) return failure;
      }
      if (await isCrowded(place)) await tidy(git, place);
      if (!isCurrent(head)) await git.must(place, ["symbolic-ref", "HEAD", head ?? ""]);
      return allow({ changed });
    } finally {
      release();
    }
  }

  /** Upstream may change its default branch. A detached HEAD is nobody's default: ours stays. */
  function isCurrent(head: string | undefined): boolean {
    if (!existsSync(gitDir)) return false;
    return head === undefined || readFileSync(join(gitDir, "HEAD"), "utf8").trim() === `ref: ${head}`;
  }

  return {
    place,
    exists: () => symbolic !== undefined && existsSync(gitDir),
    refresh: shared(refresh),
    receiving,
    lock: () => lock.take(),
    refs,
    moved,
    symbolic: () => symbolic ?? new Set(),
  };
}

const BOOT_FILE = "bot-bottle-boot";

/** What was written before a crash of the host may be half on the disk, for nobody waited for it. */
function isOfThisBoot(gitDir: string): boolean {
  const file = join(gitDir, BOOT_FILE);
  return BOOT === undefined || (existsSync(file) && readFileSync(file, "latin1") === BOOT);
}

/** One runs, and at most one waits, for all who asked since it began. */
function shared<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let waiting: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    const own = run().finally(() => {
      if (running === own) running = undefined;
    });
    running = own;
    return own;
  };
  return () => {
    if (running === undefined) return begin();
    waiting ??= running
      .catch(() => {})
      .then(() => {
        waiting = undefined;
        return begin();
      });
    return waiting;
  };
}

/** Branches, tags, and what else the operator listed: an update of it has to be judged by what upstream has. */
function hierarchiesOf({ refs }: GitRepoPolicy): readonly string[] {
  const listed = refs.map(({ pattern }) => `${pattern.split("/").slice(0, 2).join("/")}/`);
  return [...new Set(["refs/heads/", "refs/tags/", ...listed])];
}

const SHA256_LENGTH = 64;

function formatOf(refs: Refs): "sha1" | "sha256" {
  const [id = ""] = refs.values();
  return id.length === SHA256_LENGTH ? "sha256" : "sha1";
}

async function isCrowded({ gitDir }: Place): Promise<boolean> {
  const files = await readdir(join(gitDir, "objects", "pack"));
  return files.filter((name) => name.endsWith(".pack")).length > LIMITS.packs;
}

/** Puts small packs together. Removes none that is not wholly in the new one, and no object at all. */
async function tidy(git: Git, place: Place): Promise<void> {
  await git.run(place, ["repack", "--geometric=2", "-d", "--quiet"], { timeoutMs: LIMITS.refreshMs });
}

/** Locks and half written objects of programs that were killed: at start there is nobody else whose they could be. */
async function sweep(gitDir: string): Promise<void> {
  for (const entry of await readdir(gitDir, { recursive: true, withFileTypes: true })) {
    const inObjects = entry.parentPath.startsWith(join(gitDir, "objects"));
    const half = inObjects && entry.name.startsWith("tmp_");
    // No ref's name ends so.
    if (half || entry.name.endsWith(".lock")) {
      await rm(join(entry.parentPath, entry.name), { recursive: true, force: true });
    }
  }
}
