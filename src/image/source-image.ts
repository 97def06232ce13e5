/** An image that was found and read, and not yet applied: what every kind of source comes to. */
import type { ImageConfig } from "../contract/image.ts";
import type { StoredLayer } from "./layer-stream.ts";
import { hostArchitecture } from "./oci-image.ts";

export interface SourceImage {
  /** Names its content: of the manifest, else of the configuration, else of the root as a tar. */
  readonly digest: string;
  readonly config: ImageConfig;
  /** The lowest first. */
  readonly layers: readonly StoredLayer[];
}

/** Of an image that says nothing of itself. */
export function plainConfig(): ImageConfig {
  return { env: [], user: "", cwd: "", entrypoint: [], cmd: [], architecture: hostArchitecture() };
}
