/** A copy of the package, built, whose scopes stop at steps (test/doubles/stepping-scope.ts). */
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { packagePath } from "../../src/lib/package-root.ts";
import { runOk } from "../../src/lib/processes.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";

export interface SteppedPackage {
  /** The `bottle` program. */
  readonly program: string;
  remove(): Promise<void>;
}

const BUILD_TIMEOUT_MS = 120_000;

export async function buildSteppedPackage(): Promise<SteppedPackage> {
  // Not where a host's files are looked at.
  const folder = realpathSync(mkdtempSync("/var/tmp/bbp-"));
  for (const name of [
    "src",
    "demo",
    "scripts",
    "containers",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
  ])
    cpSync(packagePath(name), join(folder, name), { recursive: true });
  symlinkSync(packagePath("node_modules"), join(folder, "node_modules"));
  const scope = join(folder, "src/lib/scope.ts");
  renameSync(scope, join(folder, "src/lib/plain-scope.ts"));
  const double = readFileSync(packagePath("test/doubles/stepping-scope.ts"), "utf8");
  writeFileSync(scope, double.replace("../../src/lib/scope.ts", "./plain-scope.ts"));
  await runOk([process.execPath, "scripts/build.mjs"], { cwd: folder, timeoutMs: BUILD_TIMEOUT_MS });
  return { program: join(folder, "dist/bottle.js"), remove: () => removeTree(folder) };
}
