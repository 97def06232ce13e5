/** What a `namespace` guest finds on its disk: an allow-list, and where each part comes from. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import type { Bind } from "../../jail/mounts.ts";
import { packagePath } from "../../lib/package-root.ts";
import { nameFiles } from "../name-files.ts";

/** Where our own programs are inside. */
export const TOOLS = "/opt/bottle";
/** Process 1's helper inside. */
export const GUEST_INIT = `${TOOLS}/programs/guest-init.mjs`;
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

export interface RootLayout {
  readonly binds: readonly Bind[];
  readonly links: Readonly<Record<string, string>>;
  readonly etc: Readonly<Record<string, string>>;
  /** Guest path of the node binary. */
  readonly node: string;
  readonly path: string;
}

/**
 * Lays out the root: the host's /usr, this very node (with its npm, when it is not in /usr), our own
 * programs, the provider's tools, the operator's mounts, and a home on the host's disk.
 */
export function layoutRoot(request: {
  readonly homeDir: string;
  readonly hostname: string;
  readonly tools: readonly PlannedMount[];
  readonly mounts: readonly PlannedMount[];
  /** Names that lead to the guest's own loopback, where egress listens in their place. */
  readonly directHosts: readonly string[];
}): RootLayout {
  const node = locateNode();
  return {
    binds: [
      ...node.binds,
      { from: packagePath("dist/programs/guest-init.mjs"), to: GUEST_INIT },
      ...terminalLibrary(),
      ...request.tools,
      { from: request.homeDir, to: GUEST.home, writable: true },
      ...request.mounts,
    ],
    links: node.links,
    etc: etcFiles(request.hostname, request.directHosts),
    node: node.path,
    path: node.inPath === undefined ? SYSTEM_PATH : `${node.inPath}:${SYSTEM_PATH}`,
  };
}

/** Programs that come with Node: in which package beside it each one is. */
const COMPANIONS = {
  npm: "npm/bin/npm-cli.js",
  npx: "npm/bin/npx-cli.js",
  corepack: "corepack/dist/corepack.js",
} as const;

interface NodePlace {
  readonly path: string;
  readonly inPath?: string;
  readonly binds: readonly Bind[];
  readonly links: Readonly<Record<string, string>>;
}

/**
 * Never the whole folder that Node was installed in: it may be `~/.local`, or hold an `etc/npmrc` with a token.
 */
function locateNode(): NodePlace {
  const binary = realpathSync(process.execPath);
  if (binary.startsWith("/usr/")) return { path: binary, binds: [], links: {} };
  const prefix = `${TOOLS}/node`;
  const path = `${prefix}/bin/node`;
  const modules = join(dirname(dirname(binary)), "lib/node_modules");
  const companions = Object.entries(COMPANIONS).filter(([, file]) => existsSync(join(modules, file)));
  const packages = new Set(companions.map(([, file]) => file.slice(0, file.indexOf("/"))));
  return {
    path,
    inPath: dirname(path),
    binds: [
      { from: binary, to: path },
      ...[...packages].map((name) => ({
        from: join(modules, name),
        to: `${prefix}/lib/node_modules/${name}`,
      })),
    ],
    links: Object.fromEntries(
      companions.map(([name, file]) => [`${prefix}/bin/${name}`, `../lib/node_modules/${file}`]),
    ),
  };
}

/** node-pty and its prebuilt binary, where guest-init's import finds them. */
function terminalLibrary(): readonly Bind[] {
  const require = createRequire(import.meta.url);
  return ["@lydell/node-pty", `@lydell/node-pty-linux-${process.arch}`].flatMap((name) => {
    try {
      const from = dirname(require.resolve(`${name}/package.json`));
      return [{ from, to: `${dirname(GUEST_INIT)}/node_modules/${name}` }];
    } catch {
      // No prebuilt binary for this platform: terminals are refused by name, the rest works.
      return [];
    }
  });
}

function etcFiles(hostname: string, directHosts: readonly string[]): Readonly<Record<string, string>> {
  const openssl = "/etc/ssl/openssl.cnf";
  return {
    ...nameFiles({ hostname, directHosts, ipv6: true }),
    ...(existsSync(openssl) && { "ssl/openssl.cnf": readFileSync(openssl, "utf8") }),
  };
}
