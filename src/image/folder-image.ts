/**
 * A folder that is a guest's root, read by `tar`: which knows owners, devices, extended attributes and odd names,
 * follows no link, and is treated like every other tar.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { codeOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { exited } from "../lib/processes.ts";
import type { StoredLayer } from "./layer-stream.ts";
import { plainConfig, type SourceImage } from "./source-image.ts";

/** What tar said last, for the error. */
const MAX_STDERR_CHARACTERS = 4_000;

/** Whoever reads the folder twice gets the same bytes: no time of reading, no number of tar's process. */
const TAR = [
  "--create",
  "--file=-",
  "--format=posix",
  "--sort=name",
  "--numeric-owner",
  "--xattrs",
  "--one-file-system",
  "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
] as const;

/** Reads the folder once for its digest; applying reads it again, and notices when it has changed since. */
export async function readFolder(path: string, signal?: AbortSignal): Promise<SourceImage> {
  if (!isFolder(path)) {
    throw new UserError(`${path} is no folder`, {
      hint: "dir: takes a folder that is the guest's root itself",
    });
  }
  const hash = createHash("sha256");
  for await (const chunk of packFolder(path, signal)) hash.update(chunk);
  const digest = `sha256:${hash.digest("hex")}`;
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  // What an ordinary user unpacked is his, because he could give it to nobody: in the image it is root's.
  const layer: StoredLayer = { diffId: digest, rootIs: { uid, gid }, open: () => packFolder(path, signal) };
  return { digest, config: plainConfig(), layers: [layer] };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR" || codeOf(error) === "EACCES") return false;
    throw error;
  }
}

export async function* packFolder(path: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
  const child = spawn("tar", [...TAR, `--directory=${path}`, "."], {
    env: { PATH: process.env["PATH"], LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    ...(signal && { signal }),
  });
  let stderr = "";
  let failure: unknown;
  child.on("error", (error) => {
    failure = error;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-MAX_STDERR_CHARACTERS);
  });
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    await exited(child);
  } finally {
    if (child.exitCode === null) child.kill("SIGKILL");
  }
  if (failure !== undefined) {
    throw new UserError(`cannot run tar: ${codeOf(failure) ?? String(failure)}`, {
      hint: "install GNU tar",
      cause: failure,
    });
  }
  if (child.exitCode !== 0) {
    throw new UserError(`cannot read all of ${path}: ${printable(stderr.trim(), 1_000)}`, {
      hint: "make it readable for you; an image with files that are left out would be another one",
    });
  }
}
