/**
 * The image that comes with bot-bottle, on a Debian or Ubuntu host: its own release, small, with what coding agents
 * use, from the mirrors that this host uses and checked by apt against their signatures. mmdebstrap makes it: as
 * root for root, and for an ordinary user in a user namespace (which needs newuidmap and a line in /etc/subuid).
 * debootstrap does where mmdebstrap is missing, for root alone. This host's own Node comes along as a second layer.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { link, mkdir, readFile, rename } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import * as z from "zod";
import type { Lack, Progress } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { makePrivateDir, writeFileAtomic } from "../lib/paths.ts";
import { programOnPath } from "../lib/program-on-path.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { debootstrap, FOLDERS, LEFT_OUT, mmdebstrap } from "./debian-root.ts";
import { type DebianSources, debianSources } from "./debian-sources.ts";
import type { ImageCache } from "./image-cache.ts";
import { hostNode, type NodeLayer } from "./node-layer.ts";
import { plainConfig, type SourceImage } from "./source-image.ts";

/** Raised when the same host would get another image than before. */
const RECIPE = 1;

/** Beside what Debian calls essential (bash, coreutils, tar, perl-base, …): what agents and their tools call. */
const PACKAGES = [
  "ca-certificates",
  "curl",
  "git",
  "jq",
  "less",
  "libatomic1",
  "libstdc++6",
  "openssh-client",
  "openssh-sftp-server",
  "patch",
  "procps",
  "python3",
  "ripgrep",
  "unzip",
  "xz-utils",
] as const;

const made = z.object({ digest: z.string(), madeAt: z.string() });

export interface RecipeOptions {
  readonly cache: ImageCache;
  readonly workDir: string;
  readonly progress: Progress;
  /** Makes it again, with the packages of today. */
  readonly refresh: boolean;
  readonly signal?: AbortSignal;
}

/** Names what the recipe comes to here, without running it; undefined where there is none. */
export function recipeStamp(): string | undefined {
  const sources = debianSources();
  const node = hostNode();
  return sources && `${keyOf(sources, node)} ${node?.stamp ?? ""}`;
}

function keyOf(sources: DebianSources, node: NodeLayer | undefined): string {
  const text = JSON.stringify([RECIPE, process.arch, sources, packagesWith(node), LEFT_OUT]);
  return createHash("sha256").update(text).digest("hex");
}

function packagesWith(node: NodeLayer | undefined): readonly string[] {
  return node === undefined ? [...PACKAGES, "nodejs"] : PACKAGES;
}

/** What is missing for the recipe on this host, with what adds it; empty when nothing is. */
export function recipeLacks(): readonly Lack[] {
  if (debianSources() === undefined) {
    return [
      {
        what: "the built-in image, which is made on Debian and Ubuntu hosts",
        remedy:
          "name another one: image: docker://docker.io/library/debian:stable, or oci:, docker-archive:, dir:",
      },
    ];
  }
  if (programOnPath("mmdebstrap", FOLDERS) === undefined) {
    if (isRoot() && programOnPath("debootstrap", FOLDERS) !== undefined) return [];
    return [{ what: "mmdebstrap", remedy: "apt-get install mmdebstrap" }];
  }
  if (isRoot()) return [];
  return [
    ...(programOnPath("newuidmap", FOLDERS) === undefined
      ? [{ what: "newuidmap", remedy: "apt-get install uidmap" }]
      : []),
    ...(hasSubordinateIds()
      ? []
      : [
          {
            what: "user numbers of your own in /etc/subuid",
            remedy: "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
          },
        ]),
  ];
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function hasSubordinateIds(): boolean {
  const uid = process.getuid?.() ?? -1;
  let own = [String(uid)];
  try {
    own = [...own, userInfo().username];
  } catch {
    // A number without a name.
  }
  return ["/etc/subuid", "/etc/subgid"].every((path) => {
    try {
      return readFileSync(path, "utf8")
        .split("\n")
        .some((line) => own.includes(line.split(":")[0] ?? ""));
    } catch {
      return false;
    }
  });
}

/** @throws UserError naming what is missing, or what the program that makes it said last. */
export async function buildRecipe(options: RecipeOptions): Promise<SourceImage> {
  const { cache, workDir, progress, signal } = options;
  const sources = debianSources();
  const [lack] = recipeLacks();
  if (lack !== undefined || sources === undefined) {
    throw new UserError(`the built-in image cannot be made here: there is no ${lack?.what ?? "Debian"}`, {
      ...(lack && { hint: lack.remedy }),
    });
  }
  const node = hostNode();
  const dir = join(cache.recipes, keyOf(sources, node));
  await makePrivateDir(cache.recipes);
  const lock = await acquireLock(`${dir}.lock`, {
    waitMs: Number.POSITIVE_INFINITY,
    onWait: ({ pid }) => progress(`waiting for process ${pid}, which makes the built-in image`),
    ...(signal && { signal }),
  });
  try {
    const ready = options.refresh ? undefined : await readMade(dir);
    const { digest } = ready ?? (await makeIn(dir, sources, packagesWith(node), options));
    // Whoever makes it anew, or prunes the cache, while it is read takes only the other name.
    const root = join(workDir, "recipe.tar");
    await link(join(dir, "root.tar"), root);
    const identity =
      node === undefined
        ? digest
        : `sha256:${createHash("sha256").update(`${digest} ${node.stamp}`).digest("hex")}`;
    return {
      digest: identity,
      config: plainConfig(),
      layers: [
        { diffId: digest, open: () => createReadStream(root) },
        ...(node === undefined ? [] : [{ open: node.open }]),
      ],
    };
  } finally {
    await lock.release();
  }
}

async function readMade(dir: string): Promise<z.output<typeof made> | undefined> {
  try {
    return made.parse(JSON.parse(await readFile(join(dir, "recipe.json"), "utf8")));
  } catch {
    return undefined;
  }
}

async function makeIn(
  dir: string,
  sources: DebianSources,
  packages: readonly string[],
  { workDir, progress, signal }: RecipeOptions,
): Promise<z.output<typeof made>> {
  const making = `${dir}.making`;
  await removeTree(making);
  await mkdir(making, { mode: 0o700 });
  try {
    const hash = createHash("sha256");
    const stream =
      programOnPath("mmdebstrap", FOLDERS) === undefined
        ? debootstrap(sources, packages, workDir, { progress, signal })
        : mmdebstrap(sources, packages, { progress, signal });
    await pipeline(
      stream,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(join(making, "root.tar"), { mode: 0o600 }),
    );
    const record = { digest: `sha256:${hash.digest("hex")}`, madeAt: new Date().toISOString() };
    await writeFileAtomic(join(making, "recipe.json"), `${JSON.stringify(record)}\n`);
    await removeTree(dir);
    await rename(making, dir);
    return record;
  } finally {
    await removeTree(making);
  }
}
