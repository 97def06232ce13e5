/**
 * Remotes that are folders of this host mean nothing in a guest, and say how this disk is laid out: they stay here.
 * One that is behind git-gate has a name there, and gets it.
 */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { PlannedRepo } from "../../contract/repository.ts";
import { gateName } from "../gate-config.ts";
import type { RemoteUrl } from "./public-config.ts";

export function localRemotes(repos: readonly PlannedRepo[]): RemoteUrl {
  const byFolder = new Map(
    repos.flatMap((repo) =>
      repo.upstream.kind === "local" ? [[realFolder(repo.upstream.path), gateName(repo)] as const] : [],
    ),
  );
  return (url, folder) => {
    if (byFolder.size === 0) return undefined;
    const path = url.replace(/^file:\/\//, "");
    if (path.includes("://") || path.includes("::") || path.includes("\0")) return undefined;
    const at = resolve(folder, path);
    return byFolder.get(realFolder(at)) ?? byFolder.get(realFolder(`${at}.git`));
  };
}

/** Without its symbolic links; of what is not there, as it is written. */
function realFolder(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
