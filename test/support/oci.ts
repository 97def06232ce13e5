/** Images made and moved by other people's tools: umoci and skopeo. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "../../src/lib/processes.ts";

export const hasImageTools = ["/usr/bin/umoci", "/usr/bin/skopeo", "/usr/bin/docker-registry"].every(
  existsSync,
);

export interface Layout {
  /** The OCI layout. */
  readonly path: string;
  /** Of the one image in it. */
  readonly ref: string;
  remove(): void;
}

export interface LayoutOptions {
  /** umoci's own: `--config.env=A=b`. */
  readonly config?: readonly string[];
}

/** An image of `layers`, each a plain tar, which umoci compresses with gzip. */
export async function makeLayout(layers: readonly Buffer[], options: LayoutOptions = {}): Promise<Layout> {
  const area = mkdtempSync(join(tmpdir(), "bottle-test-oci-"));
  const path = join(area, "layout");
  const ref = "dev";
  const image = `${path}:${ref}`;
  await runOk(["umoci", "init", "--layout", path]);
  await runOk(["umoci", "new", "--image", image]);
  for (const [i, layer] of layers.entries()) {
    const tar = join(area, `${i}.tar`);
    writeFileSync(tar, layer);
    await runOk(["umoci", "raw", "add-layer", "--image", image, tar]);
  }
  if (options.config !== undefined) await runOk(["umoci", "config", "--image", image, ...options.config]);
  await runOk(["umoci", "gc", "--layout", path]);
  return { path, ref, remove: () => rmSync(area, { recursive: true, force: true }) };
}

/** `skopeo copy`, which asks no policy file. */
export async function skopeoCopy(from: string, to: string, options: readonly string[] = []): Promise<void> {
  await runOk(["skopeo", "--insecure-policy", "copy", "--quiet", ...options, from, to]);
}
