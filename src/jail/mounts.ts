/**
 * Bind mounts as words for the set-up scripts. A read-only bind is not recursive in util-linux 2.38, and in
 * a user namespace a bind must keep the flags its source already has: both are answered from mountinfo.
 */
import { readFileSync, realpathSync } from "node:fs";
import { ASSEMBLY } from "./setup-script.ts";

export interface Bind {
  /** Host path: a directory, or a file. Symbolic links are resolved before the mount. */
  readonly from: string;
  /** Absolute path inside. Must exist in the root's skeleton. */
  readonly to: string;
  readonly writable?: boolean;
}

/** What a keeper in a chroot sees of the mount it lives on. */
const UNSEEN: MountPoint = { path: "", options: new Set() };

interface MountPoint {
  readonly path: string;
  readonly options: ReadonlySet<string>;
}

/** Reads this process's mounts. Format: proc(5), /proc/pid/mountinfo. */
export function currentMounts(): readonly MountPoint[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.split(" ");
      return { path: unescapeOctal(fields[4] ?? ""), options: new Set((fields[5] ?? "").split(",")) };
    });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

/** The words (options, from, to)... for one bind and for every mount below its source. */
export function bindWords(binds: readonly Bind[], mounts: readonly MountPoint[] = currentMounts()): string[] {
  return binds.flatMap((bind) => {
    const from = realpathSync(bind.from);
    const target = `${ASSEMBLY}${bind.to === "/" ? "" : bind.to}`;
    const holder = mounts
      .filter((mount) => isWithin(from, mount.path))
      .reduce((best, mount) => (mount.path.length >= best.path.length ? mount : best), UNSEEN);
    const nested = mounts.filter((mount) => mount.path !== from && isWithin(mount.path, from));
    const words = [flags(nested.length > 0 ? "rbind" : "bind", bind, holder), from, target];
    for (const mount of nested) {
      const path = `${target}${mount.path.slice(from.length)}`;
      words.push(flags("remount,bind", bind, mount), path, path);
    }
    return words;
  });
}

function flags(kind: string, bind: Bind, source: MountPoint): string {
  const options = [kind, bind.writable ? "rw" : "ro", "nosuid", "nodev"];
  if (source.options.has("noexec")) options.push("noexec");
  return options.join(",");
}
