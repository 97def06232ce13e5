/**
 * What a bottle names on the operator's host: it must be there, and it must not be bot-bottle's own folder,
 * which holds the state, the keys and the rules of every bottle.
 */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { codeOf } from "../lib/errors.ts";
import type { Home } from "../lib/paths.ts";
import type { Bottle } from "./bottle-schema.ts";
import type { Path } from "./problem.ts";
import { isWithin } from "./scalars.ts";

interface HostPathFault {
  readonly path: Path;
  readonly message: string;
}

/** Looks at the disk; opens nothing. */
export function hostPathFaults(bottle: Bottle, where: { home: Home; userHome: string }): HostPathFault[] {
  const mounts = (bottle.mounts ?? []).flatMap((mount, i) => {
    const message = faultOfMount(expandHome(mount.from, where.userHome), where.home);
    return message === undefined ? [] : [{ path: ["mounts", i, "from"], message }];
  });
  const authorities = (bottle.egress?.upstream_ca ?? []).flatMap((file, i) => {
    const message = faultOfFile(expandHome(file, where.userHome));
    return message === undefined ? [] : [{ path: ["egress", "upstream_ca", i], message }];
  });
  const { dockerfile } = bottle.agent_provider ?? {};
  const fault = dockerfile === undefined ? undefined : faultOfFile(expandHome(dockerfile, where.userHome));
  const recipe = fault === undefined ? [] : [{ path: ["agent_provider", "dockerfile"], message: fault }];
  return [...mounts, ...authorities, ...recipe];
}

/** `~/x` in the operator's home. */
export function expandHome(path: string, userHome: string): string {
  return path === "~" || path.startsWith("~/") ? `${userHome}${path.slice(1)}` : path;
}

function faultOfMount(from: string, home: Home): string | undefined {
  const real = resolved(from);
  if (!real.ok) return real.message;
  const root = resolved(home.root);
  const own = root.ok ? root.path : resolve(home.root);
  if (real.path === "/") return "is the whole host: name a folder or file of yours";
  if (isWithin(real.path, own) || isWithin(own, real.path)) {
    return `would show ${home.root} to the agent: name a narrower folder`;
  }
  return undefined;
}

function faultOfFile(path: string): string | undefined {
  const real = resolved(path);
  if (!real.ok) return real.message;
  return statSync(real.path).isFile() ? undefined : "is not a file";
}

/** Without its symbolic links: what a mount would really show. */
function resolved(path: string): { ok: true; path: string } | { ok: false; message: string } {
  try {
    return { ok: true, path: realpathSync(path) };
  } catch (error) {
    const code = codeOf(error);
    return {
      ok: false,
      message: code === "ENOENT" ? "does not exist" : `cannot be reached: ${code ?? String(error)}`,
    };
  }
}
