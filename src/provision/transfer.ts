/**
 * Files into and out of a guest through `tar` inside it: links and permissions then act only in the guest, under
 * its own kernel's rules. What comes out is a stranger's archive and is treated as one.
 */
import { lstatSync } from "node:fs";
import type { Readable } from "node:stream";
import { GUEST, type Owner } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";
import { type ExtractReport, extractTar } from "../lib/archive/extract-tar.ts";
import { packEntries, packTar } from "../lib/archive/pack-tar.ts";
import { statusOf } from "../lib/archive/status.ts";
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { disarmRepositories, excludeGitCommands } from "./git-names.ts";
import { failed, type GuestExec, runInGuest, shownError, streamFromGuest } from "./guest-command.ts";

/** Bounds of one copy out: a large build tree fits; the operator's disk is not filled by a sparse file of a terabyte. */
const MAX_COPY_OUT_BYTES = 16 * 1024 ** 3;
const MAX_COPY_OUT_ENTRIES = 1_000_000;

/** Unpacks below `/`, so that folders on the way are made; modes as packed; owner is who runs it. */
const UNPACK = ["tar", "-C", "/", "-x", "-p", "-o", "-f", "-"] as const;

/**
 * Copies a host file, link or folder to the guest path `to`, which it becomes. A folder that is there already
 * keeps what the new one has not. What becomes root's can be read by everybody.
 * @throws UserError when `from` cannot be read or the guest cannot write `to`.
 */
export async function copyInOverExec(exec: GuestExec, from: string, to: string, owner: Owner): Promise<void> {
  const name = archiveName(to);
  try {
    lstatSync(from);
  } catch (cause) {
    throw new UserError(`cannot read ${from}: ${codeOf(cause) ?? String(cause)}`, { cause });
  }
  const mode = owner.mode === undefined ? {} : { mode: owner.mode };
  await unpackInGuest(
    exec,
    packTar(from, name, { ...mode, owner: idsOf(owner), readable: owner.user === "root" }),
    owner.user,
    to,
  );
}

/** Writes `files` as the agent's own, with one program run in the guest. */
export async function writeGuestFiles(exec: GuestExec, files: readonly PlannedFile[]): Promise<void> {
  if (files.length === 0) return;
  const entries = files.map((file) => ({
    kind: "content" as const,
    name: archiveName(file.path),
    content: Buffer.from(file.content),
    mode: file.mode,
  }));
  const stream = packEntries(entries, { owner: idsOf({ user: "agent" }) });
  await unpackInGuest(exec, stream, "agent", files.map((file) => file.path).join(", "));
}

/**
 * Unpacks a tar stream, whose names are absolute paths without their first slash, in the guest.
 * @throws UserError with tar's complaint; what reading the stream's files throws.
 */
export async function unpackInGuest(
  exec: GuestExec,
  stream: Readable,
  user: Owner["user"],
  what: string,
): Promise<void> {
  const result = await runInGuest(exec, UNPACK, { stdin: stream, user, cwd: "/" }).catch((error: unknown) => {
    // The host's own file changed or cannot be read: theirs to mend, and no bug of ours.
    if (error instanceof ArchiveError || codeOf(error) !== undefined) {
      throw new UserError(`cannot copy ${printable(what)} into the guest: ${shownError(error)}`, {
        cause: error,
      });
    }
    throw error;
  });
  if (result.code !== 0) throw failed("tar", `could not write ${printable(what)}`, result.stderr);
}

/**
 * Copies a guest file or folder to the host path `to`, which must not exist. No link that leaves `to`, no
 * `.git/config` and no hook comes along, no device, no set-id bit; `leftOut` is told each such thing.
 * @throws UserError when there is nothing at `from`, or what comes is no honest archive or too much; `to` is
 * then not there.
 */
export async function copyOutOverExec(
  exec: GuestExec,
  from: string,
  to: string,
  leftOut: (path: string, reason: string) => void = () => {},
): Promise<void> {
  const full = archiveName(from).toString();
  const slash = full.lastIndexOf("/");
  const [folder, base] = [`/${full.slice(0, Math.max(0, slash))}`, full.slice(slash + 1)];
  if (statusOf(to) !== undefined) {
    throw new UserError(`${to} is there already`, { hint: "name a path that does not exist yet" });
  }
  // `./` keeps a name with a leading dash from being an option.
  const argv = ["tar", "-C", folder, "-c", "-f", "-", `./${base}`] as const;
  let report: ExtractReport | undefined;
  try {
    const result = await streamFromGuest(exec, argv, { cwd: "/" }, (archive) =>
      extractTar(archive, to, {
        maxEntries: MAX_COPY_OUT_ENTRIES,
        maxBytes: MAX_COPY_OUT_BYTES,
        root: Buffer.from(base),
        exclude: excludeGitCommands,
        inspect: disarmRepositories,
      }),
    );
    report = result.stdout;
    // The archive is whole; some file could not be read, or changed while the agent is at work.
    if (result.code !== 0) leftOut(from, result.stderr);
  } catch (error) {
    if (error instanceof UserError && (await isMissing(exec, from))) {
      throw new UserError(`there is no ${printable(from)} in the bottle`, { cause: error });
    }
    if (!(error instanceof ArchiveError)) throw error;
    throw new UserError(`refused to copy ${printable(from)} out of the guest: ${error.message}`, {
      cause: error,
    });
  }
  for (const skipped of report.skipped) leftOut(skipped.path, skipped.reason);
  const unnamed = report.skippedCount - report.skipped.length;
  if (unnamed > 0) leftOut("…", `${unnamed} more were left out`);
}

/** What tar says of it differs from system to system. */
async function isMissing(exec: GuestExec, path: string): Promise<boolean> {
  const look = ["sh", "-c", '[ -e "$1" ] || [ -h "$1" ]', "sh", path] as const;
  return (await runInGuest(exec, look, { cwd: "/" })).code === 1;
}

/** A guest path as a name in an archive unpacked at `/`. */
export function archiveName(path: string): Buffer {
  const parts = path.split("/");
  if (parts[0] !== "" || path.includes("\0") || parts.includes("..")) {
    throw new UserError(`${printable(path)} is no absolute path in the guest`, {
      hint: `write it from the root, as ${GUEST.workspace}/file`,
    });
  }
  const name = parts.filter((part) => part !== "" && part !== ".").join("/");
  if (name === "") throw new UserError("the guest's whole file system cannot be copied");
  return Buffer.from(name);
}

function idsOf(owner: Owner): { readonly uid: number; readonly gid: number } {
  return owner.user === "root" ? { uid: 0, gid: 0 } : { uid: GUEST.uid, gid: GUEST.gid };
}
