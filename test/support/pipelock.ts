/** Puts a `pipelock` on a PATH folder: the stand-in, as one file that runs wherever there is a node. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { packagePath } from "../../src/lib/package-root.ts";
import type { Names } from "../doubles/pipelock/main.ts";

let built: string | undefined;

function program(): string {
  const made =
    built ??
    buildSync({
      entryPoints: [packagePath("test/doubles/pipelock/main.ts")],
      bundle: true,
      write: false,
      platform: "node",
      target: "node20.19",
      format: "cjs",
      minify: true,
    }).outputFiles[0]?.text;
  if (made === undefined) throw new Error("nothing was built");
  built = made;
  return made;
}

/** A jail's own node, a container's, this one. */
const NODES = ["/opt/bottle/node", process.execPath, "/usr/local/bin/node", "/usr/bin/node"];

/** A host that it knows: `api.test:443` leads to that port of this machine. Its address is public unless said. */
export type PipelockNames = Readonly<Record<string, number | Names[string]>>;

/** @returns the folder to put before everything else on PATH. */
export function installPipelock(folder: string, names: PipelockNames): string {
  const bin = join(folder, "pipelock-bin");
  mkdirSync(bin, { recursive: true });
  const table: Names = Object.fromEntries(
    Object.entries(names).map(([name, to]) => [
      name,
      typeof to === "number" ? { port: to, address: "93.184.216.34" } : to,
    ]),
  );
  const file = join(bin, "pipelock");
  // A shell's program and node's in one: the shell stops at its exec, and to node that line is a comment.
  const start = `':' //; for node in ${NODES.join(" ")}; do [ -x "$node" ] && exec "$node" "$0" "$@"; done; exit 127`;
  const known = `globalThis.PIPELOCK_NAMES = ${JSON.stringify(table)};`;
  writeFileSync(file, `#!/bin/sh\n${start}\n${known}\n${program()}`);
  chmodSync(file, 0o755);
  return bin;
}
