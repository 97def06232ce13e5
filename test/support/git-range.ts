/** Commits by the thousand, made in a stream: what a push of a stated number of objects brings. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { must } from "./git-gate.ts";

export interface RangeOptions {
  /** Distinguishes what it holds from every other range. */
  readonly seed: number;
  /** How many objects: commits, trees and blobs together. */
  readonly objects: number;
  /** The commit it begins at; a root of its own without one. */
  readonly from?: string;
  /** What stands in the n-th file, below a line that no other has. */
  readonly file: (n: number) => Buffer;
}

/** Of each commit: itself, three trees, and so many files. */
const FILES = 16;
const OBJECTS = 4 + FILES;
/** Commits come back to a folder after so many, and change what stands there. */
const FOLDERS = 97;

/** Makes the range under `ref` in a repository, and says where it ends. */
export async function makeRange(gitDir: string, ref: string, options: RangeOptions): Promise<string> {
  const { seed, objects, from, file } = options;
  const importer = spawn("git", ["fast-import", "--quiet", "--force", "--date-format=raw"], {
    env: {
      PATH: process.env["PATH"],
      GIT_DIR: gitDir,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
    },
    stdio: ["pipe", "ignore", "inherit"],
  });
  const ended = once(importer, "close");
  const write = async (bytes: string | Buffer): Promise<void> => {
    if (!importer.stdin.write(bytes)) await once(importer.stdin, "drain");
  };
  for (let left = objects, commit = 0; left > 0; commit++) {
    const files = Math.min(FILES, left - 4);
    left -= files >= 0 ? OBJECTS - FILES + files : 1;
    const message = `change ${seed}.${commit}`;
    const lines = [
      `commit ${ref}`,
      `committer Agent <agent@bottle.example> ${1_700_000_000 + commit} +0000`,
      `data ${message.length}`,
      message,
    ];
    if (commit === 0 && from !== undefined) lines.push(`from ${from}`);
    await write(`${lines.join("\n")}\n`);
    for (let i = 0; i < files; i++) {
      // No two of them are the same object.
      const content = Buffer.concat([Buffer.from(`// ${seed} ${commit} ${i}\n`), file(commit * FILES + i)]);
      await write(`M 100644 inline src/part-${commit % FOLDERS}/file-${i}.ts\ndata ${content.length}\n`);
      await write(content);
      await write("\n");
    }
  }
  importer.stdin.end("done\n");
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`git fast-import exited ${code}`);
  return await must(["git", "--git-dir", gitDir, "rev-parse", ref]);
}
