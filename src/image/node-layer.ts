/** The Node that runs bot-bottle, with its npm, as a layer: newer than a distribution's, and known to work. */
import { createHash } from "node:crypto";
import { existsSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type PackEntry, packEntries, walk } from "../lib/archive/pack-tar.ts";

export interface NodeLayer {
  /** Which one it is. */
  readonly stamp: string;
  open(): AsyncIterable<Buffer>;
}

/** A build of Node that has its libraries in itself; a distribution's small one needs those of its own release. */
const WHOLE_NODE_BYTES = 40 * 1024 * 1024;

const BINARY = "usr/local/bin/node";
const NPM = "usr/local/lib/node_modules/npm";

/** Undefined where Node is not for Linux, or shares libraries with this host. */
export function hostNode(): NodeLayer | undefined {
  if (process.platform !== "linux") return undefined;
  const binary = realpathSync(process.execPath);
  const { size, mtimeMs } = statSync(binary);
  if (size < WHOLE_NODE_BYTES) return undefined;
  const npm = join(dirname(dirname(binary)), "lib/node_modules/npm");
  const hasNpm = existsSync(join(npm, "bin/npm-cli.js"));
  const stamp = JSON.stringify([process.version, size, Math.floor(mtimeMs), hasNpm]);
  return {
    stamp: createHash("sha256").update(stamp).digest("hex"),
    open: () => packEntries(entries(binary, hasNpm ? npm : undefined), { mtime: 0 }),
  };
}

function* entries(binary: string, npm: string | undefined): Generator<PackEntry, void, void> {
  yield { kind: "disk", name: Buffer.from(BINARY), path: Buffer.from(binary) };
  if (npm === undefined) return;
  yield* walk(Buffer.from(npm), Buffer.from(NPM));
  for (const name of ["npm", "npx"]) {
    const content = Buffer.from(`#!/bin/sh\nexec node /${NPM}/bin/${name}-cli.js "$@"\n`);
    yield { kind: "content", name: Buffer.from(`usr/local/bin/${name}`), content, mode: 0o755 };
  }
}
