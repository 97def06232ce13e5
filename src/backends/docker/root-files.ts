/** Files of root's for a `docker` guest, which the engine unpacks into its /etc: readable by everybody, whatever the operator's umask. */
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { type Engine, putArchive } from "../../engine/engine.ts";
import { type PackEntry, packEntries, walk } from "../../lib/archive/pack-tar.ts";
import { statusOf } from "../../lib/archive/status.ts";

const PLACE = "/etc";

/** @throws Error for a place that is not below /etc. */
export async function putBelowEtc(
  engine: Engine,
  container: string,
  from: string,
  to: string,
  mode: number | undefined,
): Promise<void> {
  const parts = to.split("/");
  if (!to.startsWith(`${PLACE}/`) || parts.includes("..")) {
    throw new Error(`only ${PLACE} of a docker guest has files of root's: ${to}`);
  }
  const inside = parts.slice(2).filter((part) => part !== "");
  const entries: PackEntry[] = inside
    .slice(1)
    .map((_, i) => folder(Buffer.from(inside.slice(0, i + 1).join("/"))));
  for (const { name, path } of walk(Buffer.from(from), Buffer.from(inside.join("/")))) {
    const stat = statusOf(path);
    if (stat?.isDirectory()) entries.push(folder(name));
    else if (stat?.isFile()) {
      const own = stat.mode & 0o111 ? 0o755 : 0o644;
      entries.push({ kind: "content", name, content: readFileSync(path), mode: mode ?? own });
    } else entries.push({ kind: "disk", name, path });
  }
  await putArchive(engine, container, PLACE, await buffer(packEntries(entries)));
}

function folder(name: Buffer): PackEntry {
  return { kind: "folder", name, mode: 0o755 };
}
