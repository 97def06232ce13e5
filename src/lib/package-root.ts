/** Where this package lies on disk, whether its code runs from src/ or bundled from dist/. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const file = join(at, "package.json");
    if (
      existsSync(file) &&
      (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "bot-bottle"
    )
      return at;
    if (at === dirname(at)) throw new Error("bot-bottle's own package.json is missing: install it again");
  }
}

let root: string | undefined;

/** A path below the package. */
export function packagePath(...parts: string[]): string {
  root ??= findRoot();
  return join(root, ...parts);
}

/** The version in package.json. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(packagePath("package.json"), "utf8")) as { version: string }).version;
}
