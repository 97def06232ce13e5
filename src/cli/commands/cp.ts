/** `bottle cp`: files in and out of a running bottle. */
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { GUEST } from "../../contract/backend.ts";
import { connectKeeper } from "../../keeper/control-client.ts";
import { UserError } from "../../lib/errors.ts";
import { isBottleId } from "../../lib/names.ts";
import { printable } from "../../lib/printable.ts";
import { tell } from "../output.ts";

interface Place {
  readonly id: string | undefined;
  readonly path: string;
}

export async function cp(from: string, to: string): Promise<number> {
  const source = parsePlace(from);
  const target = parsePlace(to);
  if ((source.id === undefined) === (target.id === undefined)) {
    throw new UserError("one side must be in a bottle: <id>:<path>", {
      hint: "bottle cp <id>:report.md . takes a file out; bottle cp notes.md <id>: puts one in",
      exitCode: 2,
    });
  }
  if (source.id !== undefined) {
    const there = resolve(target.path);
    const becomes =
      existsSync(there) && statSync(there).isDirectory() ? join(there, basename(source.path)) : there;
    if (existsSync(becomes))
      throw new UserError(`${becomes} exists already`, { hint: "name another target" });
    if (!existsSync(dirname(becomes)))
      throw new UserError(`there is no folder ${dirname(becomes)}`, {
        hint: "make it, or name another target",
      });
    const reply = await (await connectKeeper(source.id)).ask({
      op: "copy-out",
      from: inGuest(source.path),
      to: becomes,
    });
    for (const { path, reason } of ("done" in reply && reply.leftOut) || []) {
      tell(`left out: ${printable(path, 500)}: ${printable(reason, 500)}`);
    }
  } else if (target.id !== undefined) {
    const path = resolve(source.path);
    if (!existsSync(path)) throw new UserError(`there is no ${path}`);
    const becomes = /(^|\/)$/.test(target.path) ? join(target.path, basename(path)) : target.path;
    await (await connectKeeper(target.id)).ask({ op: "copy-in", from: path, to: inGuest(becomes) });
  }
  return 0;
}

function parsePlace(text: string): Place {
  const [, id, path] = /^([^:/]+):(.*)$/s.exec(text) ?? [];
  return id !== undefined && path !== undefined && isBottleId(id)
    ? { id, path }
    : { id: undefined, path: text };
}

/** A relative path is one below the agent's home. */
function inGuest(path: string): string {
  return path.startsWith("/") ? path : join(GUEST.home, path);
}
