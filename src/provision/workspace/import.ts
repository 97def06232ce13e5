/**
 * The operator's folder becomes the guest's workspace: streamed, as one archive, never held in memory. What goes
 * in is said in files.ts and rebuilt-git.ts; the folder itself is only read.
 */
import { GUEST, type Guest, type Progress } from "../../contract/backend.ts";
import { joined, type PackEntry, packEntries } from "../../lib/archive/pack-tar.ts";
import { UserError } from "../../lib/errors.ts";
import { withScratchDir } from "../scratch.ts";
import { slowStep } from "../slow-step.ts";
import { archiveName, unpackInGuest } from "../transfer.ts";
import { folderFiles, repositoryFiles } from "./files.ts";
import type { RemoteUrl } from "./public-config.ts";
import { type RebuiltGit, rebuildGit } from "./rebuilt-git.ts";
import { type WorkspaceSource, workspaceSource } from "./repository.ts";

interface Bounds {
  readonly bytes: number;
  readonly entries: number;
}

/** Nobody said what belongs to a plain folder, so a large one is more likely the wrong one. */
const FOLDER_BOUNDS: Bounds = { bytes: 2 * 1024 ** 3, entries: 200_000 };
/** git said so; the largest known repositories fit. */
const REPOSITORY_BOUNDS: Bounds = { bytes: 32 * 1024 ** 3, entries: 2_000_000 };

/** Often enough to see that it goes on. */
const PROGRESS_INTERVAL_MS = 1_000;

export interface ImportedWorkspace {
  readonly kind: WorkspaceSource["kind"];
  /** Where the agent starts: the guest's counterpart of the folder that was named. */
  readonly cwd: string;
  /** Commits at which a shallow repository's history was cut off. */
  readonly shallow: readonly string[];
  /** Some objects are missing, to be fetched when needed. */
  readonly isPartial: boolean;
}

/**
 * Copies `folder` in: of a repository the whole working tree and its history, even when `folder` lies below
 * its root.
 * @throws UserError saying what about the folder cannot be used.
 */
export async function importWorkspace(
  guest: Guest,
  folder: string,
  options: { readonly scratchDir: string; readonly progress: Progress; readonly remoteUrl?: RemoteUrl },
): Promise<ImportedWorkspace> {
  const source = await workspaceSource(folder);
  const name = archiveName(GUEST.workspace);
  return withScratchDir(options.scratchDir, async (scratch) => {
    const dotGit =
      source.kind === "repository"
        ? await slowStep(options.progress, "workspace: packing the repository's history", () =>
            rebuildGit(source.repository, scratch, options.remoteUrl),
          )
        : undefined;
    const stream = packEntries(entriesOf(source, dotGit, name), {
      owner: { uid: GUEST.uid, gid: GUEST.gid },
      onEntry: counter(source, options.progress),
    });
    await unpackInGuest(guest.exec, stream, "agent", GUEST.workspace);
    const prefix = source.kind === "repository" ? source.repository.prefix : "";
    return {
      kind: source.kind,
      cwd: prefix === "" ? GUEST.workspace : `${GUEST.workspace}/${prefix}`,
      shallow: dotGit?.shallow ?? [],
      isPartial: dotGit?.isPartial ?? false,
    };
  });
}

async function* entriesOf(
  source: WorkspaceSource,
  dotGit: RebuiltGit | undefined,
  name: Buffer,
): AsyncGenerator<PackEntry, void, void> {
  switch (source.kind) {
    case "folder":
      yield* folderFiles(Buffer.from(source.root), name);
      return;
    case "repository":
      if (dotGit !== undefined) yield* dotGit.entries(joined(name, ".git"));
      yield* repositoryFiles(Buffer.from(source.repository.root), name);
      // Git knows no empty folder, but the agent starts in this one.
      if (source.repository.prefix !== "") {
        yield { kind: "folder", name: joined(name, source.repository.prefix), mode: 0o755 };
      }
  }
}

function counter(source: WorkspaceSource, progress: Progress): (name: Buffer, bytes: number) => void {
  const bounds = source.kind === "folder" ? FOLDER_BOUNDS : REPOSITORY_BOUNDS;
  let entries = 0;
  let total = 0;
  let told = Date.now();
  return (_name, bytes) => {
    entries += 1;
    total += bytes;
    if (entries > bounds.entries || total > bounds.bytes) {
      throw new UserError(
        `the workspace is larger than ${bounds.bytes / 1024 ** 3} GiB or has more than ${bounds.entries} files`,
        {
          hint:
            source.kind === "folder" ? "run `git init` there and list what is not needed in .gitignore" : "",
        },
      );
    }
    if (Date.now() - told < PROGRESS_INTERVAL_MS) return;
    told = Date.now();
    progress(`workspace: ${entries} files, ${Math.round(total / 1024 ** 2)} MiB`);
  };
}
