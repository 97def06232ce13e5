/** A home folder and a repository on disk, from texts. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Home, homeOf } from "../../src/lib/paths.ts";
import { loadIndex, type ManifestIndex } from "../../src/manifest/index-scan.ts";

export interface ManifestTree {
  readonly userHome: string;
  readonly home: Home;
  readonly repository: string;
  /** Writes a file at a path relative to the tree: `home/…`, `repo/…`. */
  write(path: string, text: string | Uint8Array): string;
  index(): ManifestIndex;
  remove(): void;
}

/** `files` by path: `bottles/dev.md` and `agents/x.md` are in the home, `repo/agents/x.md` in the repository. */
export function manifestTree(files: Readonly<Record<string, string | Uint8Array>> = {}): ManifestTree {
  const root = mkdtempSync(join(tmpdir(), "manifest-"));
  const userHome = join(root, "home");
  const repository = join(root, "repo");
  const home = homeOf({ HOME: userHome });
  mkdirSync(home.bottles, { recursive: true, mode: 0o700 });
  mkdirSync(home.agents, { recursive: true, mode: 0o700 });
  mkdirSync(join(repository, ".git"), { recursive: true });

  function write(path: string, text: string | Uint8Array): string {
    const file = path.startsWith("repo/")
      ? join(repository, ".bot-bottle", path.slice("repo/".length))
      : join(home.root, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, text);
    chmodSync(file, 0o644);
    return file;
  }
  for (const [path, text] of Object.entries(files)) write(path, text);
  return {
    userHome,
    home,
    repository,
    write,
    index: () => loadIndex({ home, cwd: repository, userHome }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** What `action` throws; fails the test when it throws nothing. */
export function thrownBy(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
