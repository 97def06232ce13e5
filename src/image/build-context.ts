/**
 * What an engine is given to build from: a Dockerfile and the folder that it lies in, less what `.dockerignore` leaves
 * out, as a tar that depends on names, modes and content alone. What is hashed and what is sent are made the same way.
 */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { type DiskEntry, packEntries, walk } from "../lib/archive/pack-tar.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { homeOf } from "../lib/paths.ts";
import { type IgnoreRules, parseIgnoreFile } from "./ignore-file.ts";

/** Sources are smaller; podman holds all of it in memory. */
const MAX_CONTEXT_BYTES = 1024 ** 3;
/** Twice what a large monorepo has. */
const MAX_CONTEXT_ENTRIES = 400_000;
/** Neither a Dockerfile nor a list of patterns is longer. */
const MAX_TEXT_BYTES = 1024 * 1024;
/** 2000-01-01: archivers of Python and Java know no time before 1980. */
const EVERY_MTIME = 946_684_800;

export interface BuildContext {
  /** Where it really lies. */
  readonly folder: string;
  /** The Dockerfile's name in it. */
  readonly file: string;
  /** Its text. */
  readonly text: string;
  /** As a tar stream, read from the disk again each time. */
  pack(): Readable;
}

/** @throws UserError when it cannot be read, or would take along what is nobody's business. */
export function openContext(dockerfile: string): BuildContext {
  const path = realPath(dockerfile);
  const [folder, file] = [dirname(path), basename(path)];
  refuseOwnHome(folder);
  const text = readText(path);
  if (text === undefined) throw new UserError(`there is no Dockerfile ${path}`);
  const name = `${file}.dockerignore`;
  const own = readText(join(folder, name));
  const rules = parseIgnoreFile(own ?? readText(join(folder, ".dockerignore")) ?? "");
  const kept = new Set([file, name, ".dockerignore"]);
  return { folder, file, text, pack: () => pack(folder, { rules, kept }) };
}

/** Of all that {@link BuildContext.pack} gives. */
export async function contextDigest(context: BuildContext, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of context.pack()) {
      signal?.throwIfAborted();
      hash.update(chunk as Buffer);
    }
  } catch (error) {
    throw unreadable(context.folder, error);
  }
  return hash.digest("hex");
}

function pack(
  folder: string,
  { rules, kept }: { readonly rules: IgnoreRules; readonly kept: ReadonlySet<string> },
): Readable {
  let bytes = 0;
  let entries = 0;
  const isOut = (name: Buffer): boolean => {
    const text = name.toString("utf8");
    return !kept.has(text) && rules.isOut(text);
  };
  function* inside(): Generator<DiskEntry, void, void> {
    // A folder that stays out is entered only where something in it may not.
    const exclude = rules.hasExceptions ? () => false : isOut;
    for (const entry of walk(Buffer.from(folder), Buffer.alloc(0), { exclude }))
      if (entry.name.length === 0 || !isOut(entry.name)) yield entry;
  }
  const onEntry = (_name: Buffer, size: number): void => {
    bytes += size;
    entries += 1;
    if (bytes <= MAX_CONTEXT_BYTES && entries <= MAX_CONTEXT_ENTRIES) return;
    const most =
      bytes > MAX_CONTEXT_BYTES ? `${MAX_CONTEXT_BYTES / 1024 ** 3} GiB` : `${MAX_CONTEXT_ENTRIES} files`;
    throw new UserError(`the build's context ${folder} has more than ${most}`, {
      hint: `give the Dockerfile a folder of its own, or name what it does not need in ${join(folder, ".dockerignore")}`,
    });
  };
  return packEntries(inside(), { everyMtime: EVERY_MTIME, onEntry });
}

/** The manifests, keys and states of every bottle would become part of an image that an agent sees. */
function refuseOwnHome(folder: string): void {
  const root = realPath(homeOf().root, homeOf().root);
  const isBelow = (path: string, top: string): boolean =>
    `${path}/`.startsWith(top === "/" ? "/" : `${top}/`);
  if (!isBelow(folder, root) && !isBelow(root, folder)) return;
  throw new UserError(`the Dockerfile's folder ${folder} would take ${homeOf().root} along, or is in it`, {
    hint: "put the Dockerfile into a folder of its own: all of that is what it is built from",
  });
}

function realPath(path: string, otherwise?: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    if (otherwise !== undefined) return otherwise;
    if (codeOf(cause) === "ENOENT") throw new UserError(`there is no Dockerfile ${path}`, { cause });
    throw unreadable(path, cause);
  }
}

function readText(path: string): string | undefined {
  try {
    if (statSync(path).size > MAX_TEXT_BYTES)
      throw new UserError(`${path} is longer than ${MAX_TEXT_BYTES} bytes`);
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    if (codeOf(cause) === "ENOENT") return undefined;
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): unknown {
  if (cause instanceof UserError || codeOf(cause) === undefined) return cause;
  const where = cause instanceof Error && "path" in cause ? String(cause.path) : path;
  return new UserError(`cannot read ${where}: ${codeOf(cause)}`, {
    hint: "make it readable for you, or name it in a .dockerignore beside the Dockerfile",
    cause,
  });
}
