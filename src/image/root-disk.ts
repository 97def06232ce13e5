/** A disk that a guest can boot from, and what it is asked for with. */
import type { ImageConfig, ImageSource } from "../contract/image.ts";
import type { PlannedMount } from "../contract/plan.ts";

export interface RootImage {
  /** As the operator calls it. */
  readonly name: string;
  /** Names the image's content; the tools and the disk's size are not in it. */
  readonly digest: string;
  /** Names this very disk. */
  readonly key: string;
  /** A raw ext4 file system that is never written: the backing of each bottle's own disk. */
  readonly disk: string;
  readonly config: ImageConfig;
}

export interface RootImageRequest {
  readonly source: ImageSource;
  /** Put into the image, read-only for the agent: what its provider installed. */
  readonly tools: readonly PlannedMount[];
  /** The operator's cache folder. */
  readonly cache: string;
  readonly diskBytes?: number;
  /** Asks the source again, where the last answer would do. */
  readonly refresh?: boolean;
}
