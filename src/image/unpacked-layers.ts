/** An image with its layers as plain tars on this disk, each named by what is in it: for those who want it in another form. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fewAtOnce } from "../lib/few-at-once.ts";
import { RatioGuard, withLayerTar } from "./layer-stream.ts";
import type { SourceImage } from "./source-image.ts";

/** Of all layers: they lie on the operator's disk, where no image of its own bounds them. */
const MAX_UNPACKED_BYTES = 64 * 1024 ** 3;

/** As many as Node has threads to unpack with. */
const UNPACKED_AT_ONCE = 4;

export interface UnpackedLayer {
  readonly file: string;
  readonly digest: string;
  readonly size: number;
}

/** Checked as they come. @param workDir whoever gives it removes it. @throws UserError */
export function unpackLayers(
  image: SourceImage,
  workDir: string,
  signal?: AbortSignal,
  maxBytes: number = MAX_UNPACKED_BYTES,
): Promise<readonly UnpackedLayer[]> {
  const ratio = new RatioGuard(maxBytes);
  return fewAtOnce(
    image.layers,
    { atOnce: UNPACKED_AT_ONCE, signal },
    async (layer, both, i): Promise<UnpackedLayer> => {
      const file = join(workDir, `layer-${i}.tar`);
      const hash = createHash("sha256");
      const write = (tar: AsyncIterable<Buffer>): Promise<void> =>
        pipeline(
          tar,
          async function* (source: AsyncIterable<Buffer>) {
            for await (const chunk of source) {
              hash.update(chunk);
              yield chunk;
            }
          },
          createWriteStream(file, { mode: 0o600 }),
        );
      await withLayerTar(layer, write, both, ratio);
      const { size } = await stat(file);
      return { file, digest: `sha256:${hash.digest("hex")}`, size };
    },
  );
}

/** The image's configuration, as the OCI writes it. */
export function configurationOf(
  { config }: SourceImage,
  layers: readonly UnpackedLayer[],
  labels?: Readonly<Record<string, string>>,
): unknown {
  return {
    architecture: config.architecture,
    os: "linux",
    config: {
      Env: config.env,
      User: config.user,
      WorkingDir: config.cwd,
      Entrypoint: config.entrypoint,
      Cmd: config.cmd,
      ...(labels && { Labels: labels }),
    },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  };
}
